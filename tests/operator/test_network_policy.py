from typing import Any

import pytest

from chatbot_operator.desired.network_policy import build_network_policy
from tests.resources import SETTINGS, resource_of

DNS = {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}
OPERATOR = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "chatbot-system"}},
    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "chatbot-operator"}},
}
PEERS: list[dict[str, Any]] = [
    {"podSelector": {}},
    {"namespaceSelector": {"matchLabels": {"team": ""}}, "podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}},
    {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
    {"ipBlock": {"cidr": "192.0.2.0/24"}},
]


def _policy(spec: dict[str, Any]) -> dict[str, Any]:
    policy = build_network_policy(resource_of(spec), SETTINGS)
    assert policy is not None
    found: dict[str, Any] = policy["spec"]
    return found


def _tcp(port: int) -> list[dict[str, Any]]:
    return [{"protocol": "TCP", "port": port}]


def _pods_of(namespace: str) -> list[dict[str, Any]]:
    return [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}]


@pytest.mark.parametrize(
    ("base_url", "rules"),
    [
        ("https://api.anthropic.com", []),
        ("https://gateway.example.com:8443/v1", [{"ports": _tcp(8443)}]),
        ("http://simulator.other.svc:8000", [{"to": _pods_of("other"), "ports": _tcp(8000)}]),
        ("http://simulator.other.svc", [{"to": _pods_of("other"), "ports": _tcp(80)}]),
        ("https://gateway.other.svc.cluster.local:8443/v1", [{"to": _pods_of("other"), "ports": _tcp(8443)}]),
        ("https://gateway.other.svc.cluster.local/v1", []),
        ("https://a.b.svc-like.example.com:8443", [{"ports": _tcp(8443)}]),
    ],
)
def test_pods_may_reach_name_servers_https_and_their_upstream_alone(base_url: str, rules: list[dict[str, Any]]) -> None:
    policy = _policy({"upstream": {"baseURL": base_url}})

    assert policy["egress"] == [DNS, {"ports": _tcp(443)}, *rules]
    assert policy["policyTypes"] == ["Ingress", "Egress"]


def test_everybody_may_chat_and_operator_and_monitoring_may_look_by_default() -> None:
    assert _policy({})["ingress"] == [
        {"ports": _tcp(8080)},
        {"from": [OPERATOR, *_pods_of("monitoring")], "ports": _tcp(9090)},
    ]


def test_peers_are_those_of_the_spec() -> None:
    policy = _policy({"networkPolicy": {"from": PEERS}, "monitoring": {"from": PEERS[:1]}})

    assert policy["ingress"] == [
        {"from": PEERS, "ports": _tcp(8080)},
        {"from": [OPERATOR, PEERS[0]], "ports": _tcp(9090)},
    ]


def test_no_policy_where_none_is_wanted() -> None:
    assert build_network_policy(resource_of({"networkPolicy": {"enabled": False}}), SETTINGS) is None
