"""The children that a resource has only if it asks for them, made and taken away by the operator with its own rights."""

import uuid
from collections.abc import Iterator

import pytest

from chatbot_operator.resource import Manifest
from devcluster.controlplane import ControlPlane
from tests.api.operator_process import Namespace, OperatorProcess, grant, start_operator, wait_until

pytestmark = pytest.mark.api

ON_DEMAND: dict[str, Manifest] = {
    "ingress": {"ingress": {"host": "chat.example.com"}},
    "podmonitor": {"monitoring": {"podMonitor": True}},
    "networkpolicy": {"networkPolicy": {"enabled": True}},
    "poddisruptionbudget": {"podDisruptionBudget": {"enabled": True}},
}
NONE: Manifest = {"networkPolicy": {"enabled": False}, "podDisruptionBudget": {"enabled": False}}


@pytest.fixture(scope="module")
def team(control_plane_with_crd: ControlPlane) -> Namespace:
    namespace = Namespace(control_plane_with_crd, f"children-{uuid.uuid4().hex[:6]}")
    control_plane_with_crd.kubectl("create", "namespace", namespace.name)
    return namespace


@pytest.fixture(scope="module")
def operator(team: Namespace, pod_monitors: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    directory = tmp_path_factory.mktemp("operator")
    with start_operator(grant(team.plane, team.name, directory), directory) as operator:
        yield operator


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize("kind", ON_DEMAND)
def test_child_is_there_as_long_as_it_is_asked_for(team: Namespace, kind: str) -> None:
    name = f"bot-{kind}"

    team.apply(name, replicas=0, **NONE | ON_DEMAND[kind])
    wait_until(lambda: team.get(kind, name))
    team.apply(name, replicas=0, **NONE)

    wait_until(lambda: team.get(kind, name) is None)


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize("kind", ["ingress", "podmonitor"])
def test_deleted_child_on_demand_comes_back(team: Namespace, kind: str) -> None:
    name = f"back-{kind}"
    team.apply(name, replicas=0, **ON_DEMAND[kind])
    old = wait_until(lambda: team.get(kind, name))
    assert old is not None

    team.kubectl("delete", kind, name, "--wait=false")

    wait_until(lambda: team.get(kind, name), lambda found: found and found["metadata"]["uid"] != old["metadata"]["uid"])
