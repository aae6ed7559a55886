"""Against what a real API server makes of the children: a second look finds nothing to do, and drift is found where it is."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings

from chatbot_operator import names
from chatbot_operator.desired import desired_state
from chatbot_operator.drift import differences
from chatbot_operator.names import FIELD_MANAGER
from chatbot_operator.resource import ChatbotDeployment
from devcluster.controlplane import ControlPlane
from tests.api.dry_run import DryRun
from tests.resources import SETTINGS, manifest_of, resource_of, resources
from tests.specs import EVERY_FIELD

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("pod_monitors")]

UNUSUAL_TEXT = (
    "".join(map(chr, (0x00, 0x7F, 0x80, 0x85, 0x9F, 0xA0, 0x2028, 0x2029, 0xFEFF, 0xFFFD, 0xFFFE, 0xFFFF, 0x1F600))) + ' \\ " \r\n\t: #'
)
"""What YAML, as which the API server reads an apply, refuses or folds where JSON does not."""


@pytest.fixture(scope="module")
def dry_run(control_plane_with_crd: ControlPlane) -> Iterator[DryRun]:
    with DryRun.of(control_plane_with_crd) as dry_run:
        yield dry_run


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


@pytest.mark.parametrize("spec", [{}, EVERY_FIELD], ids=["defaults", "every field"])
def test_what_was_just_applied_differs_in_nothing(
    control_plane_with_crd: ControlPlane, owner: dict[str, Any], spec: dict[str, Any]
) -> None:
    for intended, live in _apply(control_plane_with_crd, owner, spec):
        assert differences(intended, live) == (), intended["kind"]


@given(resource=resources)
@example(resource=resource_of({"systemPrompt": UNUSUAL_TEXT}))
@settings(max_examples=1000 if os.environ.get("SOAK") else 30)
def test_children_of_any_valid_spec_are_accepted_and_differ_in_nothing(dry_run: DryRun, resource: ChatbotDeployment) -> None:
    for intended in desired_state(replace(resource, namespace="default"), SETTINGS, resource.spec.replicas):
        assert differences(intended, dry_run.apply(intended)) == (), intended["kind"]


def test_removed_fields_are_removed_by_the_next_apply(control_plane_with_crd: ControlPlane, owner: dict[str, Any]) -> None:
    before = {live["kind"]: live for _, live in _apply(control_plane_with_crd, owner, EVERY_FIELD)}
    intended = {child["kind"]: child for child in _desired(owner, {})}

    assert differences(intended["Deployment"], before["Deployment"])
    after = {live["kind"]: live for _, live in _apply(control_plane_with_crd, owner, {})}

    pod = after["Deployment"]["spec"]["template"]["spec"]
    assert "imagePullSecrets" not in pod
    assert not {"nodeSelector", "tolerations", "affinity", "priorityClassName"} & pod.keys()
    assert {volume["name"] for volume in pod["volumes"]} == {"tmp", "credentials"}
    assert not {"CLAUDE_EFFORT", "SYSTEM_PROMPT_FILE", "TZ"} & {variable["name"] for variable in pod["containers"][0]["env"]}
    assert after["Deployment"]["spec"]["template"]["metadata"]["labels"] == names.labels("bot")
    assert after["Service"]["metadata"]["annotations"].keys() == {names.INTENT_ANNOTATION}
    assert "from" not in after["NetworkPolicy"]["spec"]["ingress"][0]


def test_changes_by_others_are_drift_only_in_fields_of_ours(
    control_plane_with_crd: ControlPlane, namespace: str, owner: dict[str, Any]
) -> None:
    intended = {child["kind"]: child for child, _ in _apply(control_plane_with_crd, owner, {})}["Deployment"]
    control_plane_with_crd.kubectl("rollout", "restart", f"--namespace={namespace}", "deployment/bot")
    control_plane_with_crd.kubectl("label", f"--namespace={namespace}", "deployment/bot", "team=a")

    assert differences(intended, _live(control_plane_with_crd, namespace)) == ()

    control_plane_with_crd.kubectl("scale", f"--namespace={namespace}", "deployment/bot", "--replicas=1")
    control_plane_with_crd.kubectl("set", "image", f"--namespace={namespace}", "deployment/bot", "chatbot=evil:1")

    assert differences(intended, _live(control_plane_with_crd, namespace)) == (
        "spec.replicas: 1 → 3",
        "spec.template.spec.containers[chatbot].image: evil:1 → general-purpose-chatbot:0.1.0",
    )


def test_what_others_add_to_what_is_ours_as_a_whole_is_drift(
    control_plane_with_crd: ControlPlane, namespace: str, owner: dict[str, Any]
) -> None:
    intended = {child["kind"]: child for child, _ in _apply(control_plane_with_crd, owner, EVERY_FIELD)}
    wider = '[{"op": "add", "path": "/spec/egress/1/ports/0/endPort", "value": 65535}]'
    elsewhere = '{"spec": {"selector": {"track": "canary"}}}'
    control_plane_with_crd.kubectl("patch", f"--namespace={namespace}", "networkpolicy/bot", "--type=json", f"--patch={wider}")
    control_plane_with_crd.kubectl("patch", f"--namespace={namespace}", "service/bot", f"--patch={elsewhere}")

    live = {kind: _live(control_plane_with_crd, namespace, f"{kind}/bot") for kind in ("NetworkPolicy", "Service")}

    assert differences(intended["NetworkPolicy"], live["NetworkPolicy"]) == ("spec.egress[1].ports[0].endPort: 65535 → unset",)
    assert differences(intended["Service"], live["Service"]) == ("spec.selector.track: canary → unset",)
    for child, repaired in _apply(control_plane_with_crd, owner, EVERY_FIELD):
        assert differences(child, repaired) == ()


def test_pods_are_admitted_where_pod_security_is_restricted(
    control_plane_with_crd: ControlPlane, namespace: str, owner: dict[str, Any]
) -> None:
    control_plane_with_crd.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    template = {child["kind"]: child for child, _ in _apply(control_plane_with_crd, owner, EVERY_FIELD)}["Deployment"]["spec"]["template"]
    metadata = template["metadata"] | {"name": "probe", "namespace": namespace}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}

    del pod["spec"]["priorityClassName"]  # of a class that this cluster does not have

    answer = control_plane_with_crd.kubectl("create", "--dry-run=server", "--output=name", "--filename=-", input=json.dumps(pod))

    assert answer.strip() == "pod/probe"


def _live(control_plane: ControlPlane, namespace: str, name: str = "deployment/bot") -> dict[str, Any]:
    live: dict[str, Any] = json.loads(control_plane.kubectl("get", f"--namespace={namespace}", name, "--output=json"))
    return live
