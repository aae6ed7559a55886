"""An operator whose API server can be taken away, or have its etcd stand still: what it must have done, and not done, afterwards."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from chatbot_operator.resource import KIND, Manifest
from chatbot_operator.settings import Settings
from devcluster import processes
from devcluster.controlplane import ControlPlane
from devcluster.controlplane import control_plane as run_control_plane
from tests.api import connections
from tests.api.definitions import CRD, install
from tests.api.operator_process import SERVICE_IMAGE, Account, OperatorProcess, grant, start_operator
from tests.faults.apiserver import Team, deviations, is_observed, is_settled
from tests.faults.audit import writes
from tests.faults.conftest import new_name
from tests.faults.freezing import frozen
from tests.waiting import wait_until

NAMESPACE = "team"
SPEC = {"replicas": 0, "image": "chat:1", "systemPrompt": "Be brief."}
WITH_PODS = {**SPEC, "replicas": 2, "rollout": {"minReadySeconds": 0}}
BACK_SECONDS = 120
CONTROLLERS_BACK_SECONDS = 120
"""After which Kubernetes' own controllers look again for an API server that was gone; they make a resource Ready."""
REQUEST_TIMEOUT_SECONDS = 4
"""After which a request to a server that stands still counts as an outage."""

Outage = Callable[[ControlPlane], AbstractContextManager[None]]


@dataclass(frozen=True)
class Fragile:
    """An operator and a control plane of its own."""

    plane: ControlPlane
    account: Account
    operator: OperatorProcess
    team: Team


@contextmanager
def fragile(directory: Path) -> Iterator[Fragile]:
    """Run both until the block ends."""
    with run_control_plane(directory / "plane") as plane:
        install(plane, CRD.read_text())
        plane.kubectl("create", "namespace", NAMESPACE)
        account = grant(plane, NAMESPACE, directory)
        with start_operator(account, directory, OPERATOR_REQUEST_TIMEOUT_SECONDS=f"{REQUEST_TIMEOUT_SECONDS}") as operator:
            yield Fragile(plane, account, operator, Team(plane, NAMESPACE))
        connections.close(plane)


@contextmanager
def gone(plane: ControlPlane) -> Iterator[None]:
    """Kill the API server, and start it again after the block."""
    processes.stop(plane.state, "kube-apiserver", grace_seconds=0)
    try:
        yield
    finally:
        plane.start()


@contextmanager
def standing_still(plane: ControlPlane) -> Iterator[None]:
    """Freeze etcd; the API server lives on and cannot answer."""
    pid = processes.pid(plane.state, "etcd")
    assert pid is not None
    with frozen(pid):
        yield
    wait_until(plane.ready, seconds=BACK_SECONDS)


def wait_out(seconds: float) -> None:
    ends_at = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= ends_at, seconds=seconds + 5)


def right(team: Team, name: str) -> bool:
    """Tell whether a resource has all that the operator makes for it, and a status that speaks of it."""
    resource = team.get(KIND, name)
    if not is_observed(resource) or resource is None:
        return False
    return not deviations(resource, team.children_of(name), settings=Settings(service_image=SERVICE_IMAGE, namespace=team.namespace))


def status(team: Team, name: str) -> Manifest:
    """Return what a resource says of itself."""
    found: Manifest = (team.get(KIND, name) or {})["status"]
    return found


def survive(of: Fragile, outage: Outage, seconds: float) -> None:
    """Break the API server for so long: afterwards the same process goes on where it was, and has written what was asked for alone.

    Pods that were ready are not said to be anything else because it was blind.
    """
    team, operator = of.team, of.operator
    untouched, edited, new = new_name("untouched"), new_name("edited"), new_name("new")
    team.apply(untouched, WITH_PODS)
    team.apply(edited, SPEC)
    wait_until(
        lambda: [team.look(name) for name in (untouched, edited)],
        lambda seen: all(map(is_settled, seen)),
        seconds=CONTROLLERS_BACK_SECONDS,
    )
    operator.wait_until_idle()
    before = status(team, untouched)
    outages, since = len(operator.logged("kubernetes api unreachable")), datetime.now(UTC)

    with outage(team.plane):
        wait_until(lambda: len(operator.logged("kubernetes api unreachable")) > outages, seconds=BACK_SECONDS)
        wait_out(seconds)
        alive = operator.get("/livez")
    team.apply(edited, {**SPEC, "image": "chat:2"})
    team.apply(new, SPEC)

    wait_until(lambda: right(team, edited) and right(team, new), seconds=BACK_SECONDS)
    assert operator.process.poll() is None
    assert alive == (200, "ok\n")
    assert operator.get("/readyz")[0] == 200
    wait_until(operator.leads, seconds=BACK_SECONDS)
    operator.wait_until_idle()
    assert [write for write in writes(team.plane, of.account.user) if write.began > since and write.name.startswith(untouched)] == []
    assert (before["state"], before["readyReplicas"]) == ("Ready", WITH_PODS["replicas"])
    assert status(team, untouched) == before
