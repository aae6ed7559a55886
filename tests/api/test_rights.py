"""What the chart's roles grant is what the operator uses, both ways, by the audit log of the whole session.

It runs after every other test of this folder, and first has an operator do what not every session of some of them does: make a child of
every kind, delete those that an edited spec does without, meet somebody else's object in the place of every child, look at pods, create a
Secret. Then the log must show each granted verb used by some operator of the session, and no request of any of them refused for want of a
right. So the use of a verb is shown for this session alone, that of some by this test alone. The sessions of tests/faults and
tests/cluster, which have API servers of their own, are held to the other half: what their operators use is granted, and nothing is
refused.
"""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot_operator.cluster import _API_VERSIONS
from chatbot_operator.desired import CHILD_KINDS, PRUNED_KINDS
from chatbot_operator.names import OWNED_SELECTOR
from chatbot_operator.resource import Manifest
from devcluster.controlplane import ControlPlane
from tests.api.operator_process import Namespace, grant, start_operator, wait_until
from tests.api.pods import run_until_ready
from tests.api.rights import Log, granted

pytestmark = pytest.mark.api

EVERY_CHILD: Manifest = {
    "replicas": 2,
    "systemPrompt": "Be brief.",
    "clientAuth": {"mode": "Token"},
    "ingress": {"host": "chat.example.com"},
    "monitoring": {"podMonitor": True},
}
FEWEST_CHILDREN: Manifest = {"replicas": 1, "networkPolicy": {"enabled": False}}


@pytest.fixture
def team(control_plane_with_crd: ControlPlane, pod_monitors: None) -> Iterator[Namespace]:
    """A namespace on an API server that serves every kind of child."""
    namespace = Namespace(control_plane_with_crd, f"rights-{uuid.uuid4().hex[:6]}")
    namespace.plane.kubectl("create", "namespace", namespace.name)
    yield namespace
    namespace.plane.kubectl("delete", "namespace", namespace.name, "--wait=false")


def children(team: Namespace, name: str) -> list[Manifest]:
    """Return the resource's children of every kind."""
    kinds = ",".join(_API_VERSIONS[kind][1] for kind in CHILD_KINDS)
    items = json.loads(team.kubectl("get", kinds, f"--selector={OWNED_SELECTOR}", "--output=json"))["items"]
    owned = [item for item in items if item["metadata"]["name"].startswith(name)]
    return [item for item in owned if item["kind"] in CHILD_KINDS]


def copy(child: Manifest, *, name: str) -> str:
    """Return an object like this child that belongs to nobody, as somebody would make it who edits its name."""
    kept = {key: value for key, value in child.items() if key != "status"}
    spec = {key: value for key, value in (child.get("spec") or {}).items() if not key.startswith("clusterIP")}
    return json.dumps(kept | ({"spec": spec} if spec else {}) | {"metadata": {"name": name}})


def test_chart_grants_what_the_operator_uses_and_nothing_else(after_all_others: None, team: Namespace, tmp_path: Path) -> None:
    with start_operator(grant(team.plane, team.name, tmp_path), tmp_path):
        team.apply("first", **EVERY_CHILD)
        made = wait_until(lambda: children(team, "first"), lambda found: {child["kind"] for child in found} == set(CHILD_KINDS))
        for child in made:
            team.kubectl("create", "--filename=-", input=copy(child, name=child["metadata"]["name"].replace("first", "second")))
        team.apply("first", **FEWEST_CHILDREN)
        run_until_ready(team, "first")
        kept = set(CHILD_KINDS) - set(PRUNED_KINDS)
        wait_until(lambda: {child["kind"] for child in children(team, "first")}, lambda kinds: kinds == kept)
        team.apply("first", **FEWEST_CHILDREN, image="chat:2")  # no pod of which turns ready
        team.apply("second", **EVERY_CHILD)
        wait_until(lambda: team.condition("second", "Ready"), lambda condition: condition and condition["reason"] == "Conflict")
        rights = granted()

        wait_until(lambda: rights - Log.of(team.plane).used(), lambda unused: not unused, seconds=30)

    log = Log.of(team.plane)
    assert log.used() == rights
    assert log.forbidden() == []
