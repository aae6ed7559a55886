"""Resources that were stored when the schema allowed more than it does now, and the operator that finds them there."""

import json
import uuid
from collections.abc import Iterator

import pytest
import yaml

from devcluster.controlplane import ControlPlane, KubectlFailed
from tests.api.definitions import CRD, install
from tests.api.operator_process import Namespace
from tests.waiting import wait_until

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("operator")]

READABLE = {"replicas": 0, "rollout": {"minReadySeconds": 400}}
UNREADABLE = {"replicas": 0, "logging": {"level": "trace"}}


def older_definition() -> str:
    """Return the definition of a version that knew a higher bound and one more level."""
    crd = yaml.safe_load(CRD.read_text())
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    spec["rollout"]["properties"]["minReadySeconds"]["maximum"] = 9999
    spec["logging"]["properties"]["level"]["enum"].append("trace")
    return json.dumps(crd)


def is_accepted(team: Namespace, name: str, **spec: object) -> bool:
    """Apply a resource, unless the API server refuses it."""
    try:
        team.apply(name, **spec)
    except KubectlFailed:
        return False
    return True


@pytest.fixture(scope="module")
def team(control_plane_with_crd: ControlPlane) -> Iterator[Namespace]:
    """A namespace with one resource that breaks a bound of today's schema, and one that has a word that nobody knows any more."""
    plane = control_plane_with_crd
    team = Namespace(plane, f"older-{uuid.uuid4().hex[:6]}")
    plane.kubectl("create", "namespace", team.name)
    install(plane, older_definition())
    wait_until(lambda: is_accepted(team, "readable", **READABLE))  # the schema is another a moment later
    wait_until(lambda: is_accepted(team, "unreadable", **UNREADABLE))
    install(plane, CRD.read_text())
    wait_until(lambda: not is_accepted(team, f"probe-{uuid.uuid4().hex[:6]}", **READABLE))  # one that got in would be let be
    yield team
    plane.kubectl("delete", "namespace", team.name, "--wait=false")


def test_resource_that_breaks_a_newer_bound_is_carried_out_repaired_and_edited(team: Namespace) -> None:
    wait_until(lambda: team.condition("readable", "Ready"), lambda ready: ready and ready["status"] == "True")
    made = team.get("service", "readable")

    team.kubectl("delete", "service", "readable")
    wait_until(
        lambda: team.get("service", "readable"), lambda found: found and made and found["metadata"]["uid"] != made["metadata"]["uid"]
    )
    team.kubectl("patch", "chatbot", "readable", "--type=merge", '--patch={"spec":{"model":{"maxTokens":2048}}}')

    deployment = wait_until(lambda: team.get("deployment", "readable"), lambda found: "2048" in json.dumps(found))
    assert deployment is not None
    assert deployment["spec"]["minReadySeconds"] == 400
    assert team.wait_for_status("readable")["metadata"]["generation"] == 2
    wait_until(
        lambda: team.condition("readable", "Ready"), lambda ready: ready and (ready["status"], ready["observedGeneration"]) == ("True", 2)
    )


def test_resource_that_cannot_be_read_any_more_says_which_field_until_it_is_corrected(team: Namespace) -> None:
    stalled = wait_until(lambda: team.condition("unreadable", "Stalled"))
    team.kubectl("patch", "chatbot", "unreadable", "--type=merge", '--patch={"spec":{"logging":{"level":"debug"}}}')

    assert stalled is not None
    assert stalled["reason"] == "InvalidSpec"
    assert "spec.logging.level" in stalled["message"]
    wait_until(lambda: team.condition("unreadable", "Ready"), lambda ready: ready and ready["status"] == "True")
