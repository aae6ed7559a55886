"""Who may connect to the pods, and to whom the pods may connect: name servers, port 443 and their upstream."""

import re
from typing import Final
from urllib.parse import urlsplit

from chatbot_operator import names
from chatbot_operator.desired.ownership import build_child
from chatbot_operator.desired.ports import ADMIN_PORT, HTTP_PORT
from chatbot_operator.resource import ChatbotDeployment, Manifest
from chatbot_operator.resource.exposure import NetworkPeer
from chatbot_operator.settings import Settings

MONITORING_NAMESPACE: Final = "monitoring"
"""Where Prometheus is looked for when the spec names no peers."""

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_CLUSTER_SERVICE: Final = re.compile(r"[^.]+\.(?P<namespace>[^.]+)\.svc(\..+)?")
_DNS_PORT: Final = 53
_HTTPS_PORT: Final = 443


def build_network_policy(resource: ChatbotDeployment, settings: Settings) -> Manifest | None:
    """Return the policy of the pods, or None where the spec wants none."""
    spec = resource.spec
    if not spec.network_policy.enabled:
        return None
    name = names.network_policy(resource.name)
    return build_child(resource, api_version="networking.k8s.io/v1", kind="NetworkPolicy", name=name) | {
        "spec": {
            "podSelector": {"matchLabels": names.selector_labels(resource.name)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                _chat_rule(spec.network_policy.from_),
                {"from": [_operator(settings), *_monitoring(spec.monitoring.from_)], "ports": [_port("TCP", ADMIN_PORT)]},
            ],
            "egress": [
                {"ports": [_port("UDP", _DNS_PORT), _port("TCP", _DNS_PORT)]},
                {"ports": [_port("TCP", _HTTPS_PORT)]},
                *_upstream_rules(spec.upstream.base_url),
            ],
        }
    }


def _chat_rule(peers: tuple[NetworkPeer, ...]) -> Manifest:
    """Return who may chat; a rule without `from` lets everybody in."""
    ports = {"ports": [_port("TCP", HTTP_PORT)]}
    return {"from": [_peer(peer) for peer in peers], **ports} if peers else ports


def _operator(settings: Settings) -> Manifest:
    return {**_namespace(settings.namespace), "podSelector": {"matchLabels": names.operator_labels()}}


def _monitoring(peers: tuple[NetworkPeer, ...]) -> list[Manifest]:
    return [_peer(peer) for peer in peers] or [_namespace(MONITORING_NAMESPACE)]


def _peer(peer: NetworkPeer) -> Manifest:
    """Return the peer as the user wrote it; an empty selector selects all, so it is kept."""
    return peer.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _upstream_rules(base_url: str) -> list[Manifest]:
    """Return the rule that lets the pods reach `base_url` where that of port 443 does not.

    A policy sees the port after the Service's translation, so a Service of the cluster must listen on the port of its pods.
    """
    url = urlsplit(base_url)
    port = url.port or _DEFAULT_PORTS[url.scheme]
    if port == _HTTPS_PORT:
        return []
    service = _CLUSTER_SERVICE.fullmatch(url.hostname or "")
    to = {"to": [_namespace(service["namespace"])]} if service else {}
    return [{**to, "ports": [_port("TCP", port)]}]


def _namespace(name: str) -> Manifest:
    return {"namespaceSelector": {"matchLabels": {names.NAMESPACE_NAME_LABEL: name}}}


def _port(protocol: str, number: int) -> Manifest:
    return {"protocol": protocol, "port": number}
