"""The Service, and the NetworkPolicy that lets the pods reach the upstream and name servers and nothing else."""

import re
from urllib.parse import urlsplit

from chatbot_operator import names
from chatbot_operator.desired.ownership import build_child
from chatbot_operator.desired.ports import ADMIN_PORT, HTTP_PORT, HTTP_PORT_NAME
from chatbot_operator.resource import ChatbotDeployment, Manifest
from chatbot_operator.settings import Settings

_DEFAULT_PORTS = {"http": 80, "https": 443}
_CLUSTER_SERVICE = re.compile(r"[^.]+\.(?P<namespace>[^.]+)\.svc(\..+)?")
_DNS_PORT = 53


def build_service(resource: ChatbotDeployment) -> Manifest:
    """Return the Service in front of the chat port; the admin port is not behind it."""
    spec = resource.spec.service
    name = names.service(resource.name)
    return build_child(resource, api_version="v1", kind="Service", name=name, annotations=spec.annotations) | {
        "spec": {
            "type": spec.type,
            "selector": names.selector_labels(resource.name),
            "ports": [{"name": HTTP_PORT_NAME, "port": spec.port, "protocol": "TCP", "targetPort": HTTP_PORT_NAME, "appProtocol": "http"}],
        }
    }


def build_network_policy(resource: ChatbotDeployment, settings: Settings) -> Manifest:
    """Return the policy of the pods: in, the chat port for all and the admin port for the operator; out, name servers and the upstream."""
    name = names.network_policy(resource.name)
    operator = {
        "namespaceSelector": {"matchLabels": {names.NAMESPACE_NAME_LABEL: settings.namespace}},
        "podSelector": {"matchLabels": names.operator_labels()},
    }
    return build_child(resource, api_version="networking.k8s.io/v1", kind="NetworkPolicy", name=name) | {
        "spec": {
            "podSelector": {"matchLabels": names.selector_labels(resource.name)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"ports": [_port("TCP", HTTP_PORT)]},
                {"from": [operator], "ports": [_port("TCP", ADMIN_PORT)]},
            ],
            "egress": [
                {"ports": [_port("UDP", _DNS_PORT), _port("TCP", _DNS_PORT)]},
                _upstream_egress(resource.spec.upstream.base_url),
            ],
        }
    }


def _upstream_egress(base_url: str) -> Manifest:
    """Return the rule that lets the pods reach `base_url`.

    A policy sees the port after the Service's translation, so a Service of the cluster must listen on the port of its pods.
    """
    url = urlsplit(base_url)
    ports = [_port("TCP", url.port or _DEFAULT_PORTS[url.scheme])]
    service = _CLUSTER_SERVICE.fullmatch(url.hostname or "")
    if service is None:
        return {"ports": ports}
    namespace = {"namespaceSelector": {"matchLabels": {names.NAMESPACE_NAME_LABEL: service["namespace"]}}}
    return {"to": [namespace], "ports": ports}


def _port(protocol: str, number: int) -> Manifest:
    return {"protocol": protocol, "port": number}
