"""What holds for the children of any valid resource; the manifests themselves are reviewed as golden files."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_operator import names
from chatbot_operator.desired import CHILD_KINDS, desired_state
from chatbot_operator.drift import differences
from chatbot_operator.resource import ChatbotDeployment
from tests.resources import SETTINGS, UID, resource_of, resources

replica_counts = st.integers(0, 1000)


def _children(resource: ChatbotDeployment, replicas: int = 3) -> dict[str, dict[str, Any]]:
    return {child["kind"]: child for child in desired_state(resource, SETTINGS, replicas)}


def _template(resource: ChatbotDeployment, replicas: int = 3) -> dict[str, Any]:
    template: dict[str, Any] = _children(resource, replicas)["Deployment"]["spec"]["template"]
    return template


@given(resource=resources, replicas=replica_counts)
def test_same_resource_gives_the_same_children(resource: ChatbotDeployment, replicas: int) -> None:
    assert desired_state(resource, SETTINGS, replicas) == desired_state(resource, SETTINGS, replicas)


@given(resource=resources, replicas=replica_counts)
def test_own_output_has_no_drift(resource: ChatbotDeployment, replicas: int) -> None:
    for child in desired_state(resource, SETTINGS, replicas):
        assert differences(child, child) == ()


@given(resource=resources, replicas=replica_counts)
def test_every_child_is_named_labelled_and_owned(resource: ChatbotDeployment, replicas: int) -> None:
    for child in desired_state(resource, SETTINGS, replicas):
        metadata = child["metadata"]
        owner = metadata["ownerReferences"][0]
        assert child["kind"] in CHILD_KINDS
        assert len(metadata["name"]) <= 63
        assert metadata["namespace"] == resource.namespace
        assert metadata["labels"].items() >= names.labels(resource.name).items()
        assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (UID, True, False)
        assert metadata["annotations"][names.INTENT_ANNOTATION]


@given(resource=resources)
def test_selectors_select_the_pods(resource: ChatbotDeployment) -> None:
    children = _children(resource)

    labels = children["Deployment"]["spec"]["template"]["metadata"]["labels"].items()

    assert children["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels
    assert children["Service"]["spec"]["selector"].items() <= labels
    assert children["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items() <= labels
    assert children["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"].items() <= labels


@given(resource=resources, replicas=replica_counts)
def test_neither_scale_nor_operator_nor_status_changes_the_pods(resource: ChatbotDeployment, replicas: int) -> None:
    upgraded = SETTINGS.model_copy(update={"operator_version": "9.9.9", "workers": 1, "namespace": "elsewhere"})
    other = replace(resource, generation=99, status={"state": "Ready"}, annotations={"a": "b"})

    deployment = next(child for child in desired_state(other, upgraded, replicas) if child["kind"] == "Deployment")

    assert deployment["spec"]["template"] == _template(resource)


@given(resource=resources)
def test_every_mount_has_its_volume_and_every_volume_its_mount(resource: ChatbotDeployment) -> None:
    pod = _template(resource)["spec"]

    mounted = [mount["name"] for mount in pod["containers"][0]["volumeMounts"]]

    assert mounted == [volume["name"] for volume in pod["volumes"]]


@given(resource=resources)
def test_pod_is_restricted_and_has_no_token(resource: ChatbotDeployment) -> None:
    pod = _template(resource)["spec"]

    container = pod["containers"][0]["securityContext"]

    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


@given(resource=resources)
def test_no_child_reads_or_holds_a_secret(resource: ChatbotDeployment) -> None:
    children = _children(resource)

    secrets = [volume["secret"] for volume in children["Deployment"]["spec"]["template"]["spec"]["volumes"] if "secret" in volume]

    assert "Secret" not in children
    assert [(secret["secretName"], secret["optional"]) for secret in secrets] == [(resource.spec.credentials.secret_ref.name, True)]


@pytest.mark.parametrize(("replicas", "budget"), [(0, False), (1, False), (2, True), (1000, True)])
def test_budget_only_where_one_pod_may_go(replicas: int, budget: bool) -> None:  # noqa: FBT001
    assert ("PodDisruptionBudget" in _children(resource_of(), replicas)) is budget


def test_prompt_is_a_config_map_only_when_there_is_one() -> None:
    assert "ConfigMap" not in _children(resource_of())
    assert _children(resource_of({"systemPrompt": "Be brief.\n"}))["ConfigMap"]["data"] == {"system-prompt": "Be brief.\n"}


def test_edited_prompt_rolls_the_pods() -> None:
    assert _template(resource_of({"systemPrompt": "a"})) != _template(resource_of({"systemPrompt": "b"}))


DNS = {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}


def _tcp(port: int) -> list[dict[str, Any]]:
    return [{"protocol": "TCP", "port": port}]


def _pods_of(namespace: str) -> list[dict[str, Any]]:
    return [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}]


@pytest.mark.parametrize(
    ("base_url", "rule"),
    [
        ("https://api.anthropic.com", {"ports": _tcp(443)}),
        ("https://gateway.example.com:8443/v1", {"ports": _tcp(8443)}),
        ("http://simulator.other.svc:8000", {"to": _pods_of("other"), "ports": _tcp(8000)}),
        ("http://simulator.other.svc", {"to": _pods_of("other"), "ports": _tcp(80)}),
        ("https://gateway.other.svc.cluster.local/v1", {"to": _pods_of("other"), "ports": _tcp(443)}),
        ("https://a.b.svc-like.example.com", {"ports": _tcp(443)}),
    ],
)
def test_pods_may_reach_their_upstream_and_name_servers_alone(base_url: str, rule: dict[str, Any]) -> None:
    policy = _children(resource_of({"upstream": {"baseURL": base_url}}))["NetworkPolicy"]

    assert policy["spec"]["egress"] == [DNS, rule]


def test_admin_port_is_open_to_the_operator_alone() -> None:
    policy = _children(resource_of())["NetworkPolicy"]

    by_port = {rule["ports"][0]["port"]: rule.get("from") for rule in policy["spec"]["ingress"]}

    assert by_port[8080] is None
    assert by_port[9090] == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "chatbot-system"}},
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "chatbot-operator"}},
        }
    ]


def test_image_is_pinned_by_the_spec_and_else_the_operators() -> None:
    assert _template(resource_of())["spec"]["containers"][0]["image"] == "general-purpose-chatbot:0.1.0"
    assert _template(resource_of({"image": "chat:2"}))["spec"]["containers"][0]["image"] == "chat:2"
