"""Every kind of child under a running operator with its own rights: made, taken away again, and corrected whoever changed it."""

import json

import pytest

from chatbot_operator.desired import CHILD_KINDS
from chatbot_operator.resource import Manifest
from tests.api.operator_process import Namespace, OperatorProcess
from tests.waiting import wait_until

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("pod_monitors", "operator")]

ON_DEMAND: dict[str, Manifest] = {
    "ingress": {"ingress": {"host": "chat.example.com"}},
    "podmonitor": {"monitoring": {"podMonitor": True}},
    "networkpolicy": {"networkPolicy": {"enabled": True}},
    "poddisruptionbudget": {"podDisruptionBudget": {"enabled": True}},
}
EVERY: Manifest = {"replicas": 0, "systemPrompt": "Be brief."} | {key: value for one in ON_DEMAND.values() for key, value in one.items()}
DRIFT: dict[str, Manifest] = {
    "serviceaccount/drifting": {"automountServiceAccountToken": True},
    "configmap/drifting-prompt": {"data": {"system-prompt": "Be rude."}},
    "service/drifting": {"spec": {"selector": {"app.kubernetes.io/instance": "elsewhere"}}},
    "networkpolicy/drifting": {"spec": {"ingress": [{}]}},
    "deployment/drifting": {"spec": {"replicas": 7}},
    "poddisruptionbudget/drifting": {"spec": {"maxUnavailable": "100%"}},
    "ingress/drifting": {"spec": {"rules": [{"host": "chat.example.org"}]}},
    "podmonitor/drifting": {"spec": {"podMetricsEndpoints": []}},
}
"""A child of each kind, and what somebody makes of it; the Secret is nobody's to correct."""
NONE: Manifest = {"networkPolicy": {"enabled": False}, "podDisruptionBudget": {"enabled": False}}


@pytest.mark.parametrize("kind", ON_DEMAND)
def test_child_is_there_as_long_as_it_is_asked_for(team: Namespace, kind: str) -> None:
    name = f"bot-{kind}"

    team.apply(name, replicas=0, **NONE | ON_DEMAND[kind])
    wait_until(lambda: team.get(kind, name))
    team.apply(name, replicas=0, **NONE)

    wait_until(lambda: team.get(kind, name) is None)


@pytest.mark.parametrize("kind", ["ingress", "podmonitor"])
def test_deleted_child_on_demand_comes_back(team: Namespace, kind: str) -> None:
    name = f"back-{kind}"
    team.apply(name, replicas=0, **ON_DEMAND[kind])
    old = wait_until(lambda: team.get(kind, name))
    assert old is not None

    team.kubectl("delete", kind, name, "--wait=false")

    wait_until(lambda: team.get(kind, name), lambda found: found and found["metadata"]["uid"] != old["metadata"]["uid"])


@pytest.fixture(scope="module")
def drifting(pod_monitors: None, operator: OperatorProcess, team: Namespace) -> None:
    """A resource with every child, all of them there."""
    team.apply("drifting", **EVERY)
    for child in DRIFT:
        wait_until(lambda child=child: team.get(*child.split("/")))  # type: ignore[misc] # a default binds the loop variable


def content(child: Manifest) -> Manifest:
    """Return what a child says, without what the API server keeps of it."""
    return {key: value for key, value in child.items() if key not in ("metadata", "status")}


@pytest.mark.usefixtures("drifting")
@pytest.mark.parametrize("child", DRIFT)
def test_child_that_was_changed_by_hand_is_corrected(team: Namespace, child: str) -> None:
    before = content(team.get(*child.split("/")) or {})

    patched = json.loads(team.kubectl("patch", child, "--type=merge", f"--patch={json.dumps(DRIFT[child])}", "--output=json"))

    assert content(patched) != before
    wait_until(lambda: content(team.get(*child.split("/")) or {}), lambda found: found == before)


def test_drift_of_every_kind_of_child_is_tried() -> None:
    assert {child.split("/")[0] for child in DRIFT} == {kind.lower() for kind in CHILD_KINDS}
