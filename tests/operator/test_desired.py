"""What holds for the children of any valid resource; the manifests themselves are reviewed as golden files."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_operator import names
from chatbot_operator.desired import CHILD_KINDS, PRUNED_KINDS, desired_state
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


@given(resource=resources, replicas=replica_counts)
def test_what_is_never_pruned_is_always_desired(resource: ChatbotDeployment, replicas: int) -> None:
    assert _children(resource, replicas).keys() >= set(CHILD_KINDS) - set(PRUNED_KINDS)


def test_what_is_pruned_is_what_a_spec_can_do_without() -> None:
    least = _children(resource_of({"networkPolicy": {"enabled": False}}), replicas=1)

    assert least.keys() == set(CHILD_KINDS) - set(PRUNED_KINDS)


@given(resource=resources)
def test_selectors_select_the_pods(resource: ChatbotDeployment) -> None:
    children = _children(resource)
    labels = children["Deployment"]["spec"]["template"]["metadata"]["labels"].items()

    assert children["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels
    assert children["Service"]["spec"]["selector"].items() <= labels
    for kind, path in (("NetworkPolicy", "podSelector"), ("PodDisruptionBudget", "selector"), ("PodMonitor", "selector")):
        if kind in children:
            assert children[kind]["spec"][path]["matchLabels"].items() <= labels


@given(resource=resources)
def test_every_child_can_be_hashed_and_sent(resource: ChatbotDeployment) -> None:
    children = desired_state(resource, SETTINGS, 3)

    assert tuple(json.loads(json.dumps(child)) for child in children) == children  # no tuples, models or enumerations


@given(resource=resources, replicas=replica_counts)
def test_neither_scale_nor_operator_nor_status_changes_the_pods(resource: ChatbotDeployment, replicas: int) -> None:
    upgraded = SETTINGS.model_copy(update={"operator_version": "9.9.9", "workers": 1, "namespace": "elsewhere"})
    other = replace(resource, generation=99, status={"state": "Ready"})

    deployment = next(child for child in desired_state(other, upgraded, replicas) if child["kind"] == "Deployment")

    assert deployment["spec"]["template"] == _template(resource)


@pytest.mark.parametrize(
    ("enabled", "replicas", "budget"),
    [
        (None, 0, False),
        (None, 1, False),
        (None, 2, True),
        (None, 1000, True),
        (True, 1, True),
        (False, 1000, False),
    ],
)
def test_budget_where_it_is_asked_for_or_one_pod_may_go(enabled: bool | None, replicas: int, budget: bool) -> None:  # noqa: FBT001
    children = _children(resource_of({"podDisruptionBudget": {"enabled": enabled}}), replicas)

    assert ("PodDisruptionBudget" in children) is budget


def test_pods_that_are_all_unready_keep_no_node_from_being_drained() -> None:
    spec = _children(resource_of())["PodDisruptionBudget"]["spec"]

    assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def test_prompt_is_a_config_map_only_when_there_is_one() -> None:
    assert "ConfigMap" not in _children(resource_of())
    assert _children(resource_of({"systemPrompt": "Be brief.\n"}))["ConfigMap"]["data"] == {"system-prompt": "Be brief.\n"}


INGRESS = {"host": "chat.example.com", "className": "nginx", "tlsSecretName": "tls", "annotations": {"example.com/a": "b"}}


def test_ingress_leads_every_path_of_its_host_to_the_service() -> None:
    ingress = _children(resource_of({"ingress": INGRESS, "service": {"port": 8080}}))["Ingress"]

    backend = {"service": {"name": "bot", "port": {"name": "http"}}}
    assert ingress["spec"] == {
        "ingressClassName": "nginx",
        "tls": [{"hosts": ["chat.example.com"], "secretName": "tls"}],
        "rules": [{"host": "chat.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
    }
    assert ingress["metadata"]["annotations"]["example.com/a"] == "b"


def test_ingress_leaves_class_and_certificate_to_the_cluster() -> None:
    spec = _children(resource_of({"ingress": {"host": "chat.example.com"}}))["Ingress"]["spec"]

    assert spec.keys() == {"rules"}
    assert "Ingress" not in _children(resource_of())


def test_pod_monitor_is_found_by_its_labels_and_finds_the_admin_port() -> None:
    labels = {"release": "prometheus", "app.kubernetes.io/managed-by": "me"}  # the second one is older than its rule

    monitor = _children(resource_of({"monitoring": {"podMonitor": True, "labels": labels}}))["PodMonitor"]

    assert monitor["metadata"]["labels"] == {"release": "prometheus", **names.labels("bot")}
    chatbot = {"action": "replace", "targetLabel": "chatbot", "replacement": "bot"}
    assert monitor["spec"]["podMetricsEndpoints"] == [{"port": "admin", "path": "/metrics", "relabelings": [chatbot]}]
    assert "PodMonitor" not in _children(resource_of())


def test_service_has_the_type_port_and_annotations_of_the_spec() -> None:
    service = _children(resource_of({"service": {"type": "LoadBalancer", "port": 8080, "annotations": {"example.com/a": "b"}}}))["Service"]

    assert (service["spec"]["type"], service["spec"]["ports"][0]["port"]) == ("LoadBalancer", 8080)
    assert service["metadata"]["annotations"]["example.com/a"] == "b"


ROLLOUT = {"maxSurge": "25%", "maxUnavailable": 2, "minReadySeconds": 30, "progressDeadline": "20m500ms"}


def test_rollout_is_that_of_the_spec() -> None:
    spec = _children(resource_of({"rollout": ROLLOUT}))["Deployment"]["spec"]

    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 2}}
    assert (spec["minReadySeconds"], spec["progressDeadlineSeconds"]) == (30, 1201)


def test_rollout_has_fewer_pods_than_asked_for_at_no_time_by_default() -> None:
    spec = _children(resource_of())["Deployment"]["spec"]

    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert (spec["minReadySeconds"], spec["progressDeadlineSeconds"]) == (5, 600)
