"""What the chart's roles grant is what the operator uses, both ways, by the audit log.

One operator does here whatever needs a right: it makes a child of every kind, deletes those that an edited spec does without, meets
somebody else's object in the place of every child, looks at pods, creates a Secret. Then the log must show each granted verb used by it.
That no other operator is refused for want of a right, or uses one that is not granted, is what every session of tests/api, tests/faults
and tests/cluster is held to at its end.
"""

import json
from pathlib import Path

import pytest

from chatbot_operator.cluster import _API_VERSIONS
from chatbot_operator.desired import CHILD_KINDS, PRUNED_KINDS
from chatbot_operator.names import OWNED_SELECTOR
from chatbot_operator.resource import Manifest
from tests.api.operator_process import Account, Namespace, start_operator
from tests.api.pods import run_until_ready
from tests.api.rights import Log, granted
from tests.waiting import wait_until

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("pod_monitors")]

EVERY_CHILD: Manifest = {
    "replicas": 2,
    "systemPrompt": "Be brief.",
    "clientAuth": {"mode": "Token"},
    "ingress": {"host": "chat.example.com"},
    "monitoring": {"podMonitor": True},
}
FEWEST_CHILDREN: Manifest = {"replicas": 1, "networkPolicy": {"enabled": False}}


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


def test_chart_grants_what_the_operator_uses_and_nothing_else(team: Namespace, account: Account, directory: Path) -> None:
    with start_operator(account, directory):
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

        wait_until(lambda: rights - Log.of(team.plane, account.user).used(), lambda unused: not unused, seconds=30)

    log = Log.of(team.plane, account.user)
    assert log.used() == rights
    assert log.forbidden() == []
