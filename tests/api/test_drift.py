"""Against what a real API server makes of the children: a second look finds nothing to do, and drift is found where it is."""

import json
from typing import Any

import pytest

from chatbot_operator.desired import desired_state
from chatbot_operator.drift import differences
from chatbot_operator.names import FIELD_MANAGER
from chatbot_operator.resource import ChatbotDeployment
from devcluster.controlplane import ControlPlane
from tests.resources import SETTINGS, manifest_of

pytestmark = pytest.mark.api

FULL_SPEC: dict[str, Any] = {
    "image": "registry.example.com/chat:1",
    "imagePullSecrets": [{"name": "registry"}],
    "model": {"effort": "low"},
    "systemPrompt": "Be brief.\n",
    "upstream": {"baseURL": "http://simulator.demo.svc:8000"},
    "resources": {"requests": {"cpu": "0.25", "memory": "134217728"}, "limits": {"cpu": "1000m", "memory": "1.5Gi"}},
    "drain": {"delay": "1500ms"},
    "service": {"type": "NodePort", "annotations": {"example.com/a": "b"}},
}


@pytest.fixture
def owner(control_plane_with_crd: ControlPlane, namespace: str) -> dict[str, Any]:
    """The resource that the children belong to: without one that exists, they are garbage and collected."""
    manifest = manifest_of(namespace=namespace)
    del manifest["metadata"]["uid"]
    created: dict[str, Any] = json.loads(
        control_plane_with_crd.kubectl("create", "--output=json", "--filename=-", input=json.dumps(manifest))
    )
    return created


def _desired(owner: dict[str, Any], spec: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    return desired_state(ChatbotDeployment.from_manifest(owner | {"spec": spec}), SETTINGS, 3)


def _apply(control_plane: ControlPlane, owner: dict[str, Any], spec: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return each child as intended and as the API server has it."""
    children = _desired(owner, spec)
    flags = ("--server-side", f"--field-manager={FIELD_MANAGER}", "--force-conflicts", "--output=json", "--filename=-")
    document = {"apiVersion": "v1", "kind": "List", "items": children}
    answer = json.loads(control_plane.kubectl("apply", *flags, input=json.dumps(document)))
    return list(zip(children, answer["items"], strict=True))


@pytest.mark.parametrize("spec", [{}, FULL_SPEC], ids=["defaults", "every field"])
def test_what_was_just_applied_differs_in_nothing(
    control_plane_with_crd: ControlPlane, owner: dict[str, Any], spec: dict[str, Any]
) -> None:
    for intended, live in _apply(control_plane_with_crd, owner, spec):
        assert differences(intended, live) == (), intended["kind"]


def test_removed_fields_are_removed_by_the_next_apply(control_plane_with_crd: ControlPlane, owner: dict[str, Any]) -> None:
    before = {live["kind"]: live for _, live in _apply(control_plane_with_crd, owner, FULL_SPEC)}
    intended = {child["kind"]: child for child in _desired(owner, {})}

    assert differences(intended["Deployment"], before["Deployment"])
    after = {live["kind"]: live for _, live in _apply(control_plane_with_crd, owner, {})}

    pod = after["Deployment"]["spec"]["template"]["spec"]
    assert "imagePullSecrets" not in pod
    assert {volume["name"] for volume in pod["volumes"]} == {"tmp", "credentials"}
    assert not {"CLAUDE_EFFORT", "SYSTEM_PROMPT_FILE"} & {variable["name"] for variable in pod["containers"][0]["env"]}
    assert "example.com/a" not in after["Service"]["metadata"]["annotations"]


def test_changes_by_others_are_drift_only_in_fields_of_ours(
    control_plane_with_crd: ControlPlane, namespace: str, owner: dict[str, Any]
) -> None:
    intended = {child["kind"]: child for child, _ in _apply(control_plane_with_crd, owner, {})}["Deployment"]
    control_plane_with_crd.kubectl("rollout", "restart", f"--namespace={namespace}", "deployment/bot")
    control_plane_with_crd.kubectl("label", f"--namespace={namespace}", "deployment/bot", "team=a")

    assert differences(intended, _deployment(control_plane_with_crd, namespace)) == ()

    control_plane_with_crd.kubectl("scale", f"--namespace={namespace}", "deployment/bot", "--replicas=1")
    control_plane_with_crd.kubectl("set", "image", f"--namespace={namespace}", "deployment/bot", "chatbot=evil:1")

    assert differences(intended, _deployment(control_plane_with_crd, namespace)) == (
        "spec.replicas: 1 → 3",
        "spec.template.spec.containers[chatbot].image: evil:1 → general-purpose-chatbot:0.1.0",
    )


def test_pods_are_admitted_where_pod_security_is_restricted(
    control_plane_with_crd: ControlPlane, namespace: str, owner: dict[str, Any]
) -> None:
    control_plane_with_crd.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    template = {child["kind"]: child for child, _ in _apply(control_plane_with_crd, owner, FULL_SPEC)}["Deployment"]["spec"]["template"]
    metadata = template["metadata"] | {"name": "probe", "namespace": namespace}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}

    answer = control_plane_with_crd.kubectl("create", "--dry-run=server", "--output=name", "--filename=-", input=json.dumps(pod))

    assert answer.strip() == "pod/probe"


def _deployment(control_plane: ControlPlane, namespace: str) -> dict[str, Any]:
    live: dict[str, Any] = json.loads(control_plane.kubectl("get", f"--namespace={namespace}", "deployment/bot", "--output=json"))
    return live
