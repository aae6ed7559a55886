"""The children that a resource has only if it asks for them, made and taken away by the operator with its own rights."""

import pytest

from chatbot_operator.resource import Manifest
from tests.api.operator_process import Namespace
from tests.waiting import wait_until

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("pod_monitors", "operator")]

ON_DEMAND: dict[str, Manifest] = {
    "ingress": {"ingress": {"host": "chat.example.com"}},
    "podmonitor": {"monitoring": {"podMonitor": True}},
    "networkpolicy": {"networkPolicy": {"enabled": True}},
    "poddisruptionbudget": {"podDisruptionBudget": {"enabled": True}},
}
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
