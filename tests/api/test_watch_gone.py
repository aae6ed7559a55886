"""What is watched goes away: its definition for a while, one of its namespaces for good.

A control plane of this module's own, and a resync that comes too late to stand in for the watch.
"""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot_operator.informer import OWNED_KINDS
from chatbot_operator.watch import RESTART_SECONDS
from devcluster.controlplane import ControlPlane
from devcluster.controlplane import control_plane as run_control_plane
from tests.api import connections
from tests.api.definitions import CRD, install
from tests.api.operator_process import Account, Namespace, OperatorProcess, grant, start_operator
from tests.waiting import wait_until

pytestmark = pytest.mark.api

HOME = "chatbot-system"
DOOMED, SPARED = "doomed", "spared"
AWAY_SECONDS = 3 * RESTART_SECONDS
NOTICED_SECONDS = 20
"""A small part of the 10 min between two resyncs."""


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with run_control_plane(tmp_path_factory.mktemp("losing")) as plane:
        install(plane, CRD.read_text())
        for name in (HOME, DOOMED, SPARED):
            plane.kubectl("create", "namespace", name)
        yield plane
        connections.close(plane)


@pytest.fixture(scope="module")
def account(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Account:
    """One with Roles in two namespaces, and no right outside them but to its Lease."""
    return grant(plane, HOME, tmp_path_factory.mktemp("account"), watched=(DOOMED, SPARED))


@pytest.fixture
def operator(account: Account, tmp_path: Path) -> Iterator[OperatorProcess]:
    environment = {"OPERATOR_WATCH_NAMESPACES": f"{DOOMED},{SPARED}", "OPERATOR_WATCH_TIMEOUT_SECONDS": "10"}
    with start_operator(account, tmp_path, wait=False, **environment) as operator:
        yield operator


def act_on_an_edit(team: Namespace, name: str) -> None:
    """Create a resource, edit it, and return when the operator has acted upon both."""
    for prompt in ("Be brief.", "Be kind."):
        team.apply(name, replicas=0, systemPrompt=prompt)
        wait_until(lambda: acted(team, name), seconds=NOTICED_SECONDS)


def acted(team: Namespace, name: str) -> bool:
    found = team.get("chatbot", name) or {}
    return bool(found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"])


def test_definition_that_was_away_is_watched_again(plane: ControlPlane, operator: OperatorProcess) -> None:
    team = Namespace(plane, SPARED)
    wait_until(operator.leads, seconds=30)
    act_on_an_edit(team, "before")

    plane.kubectl("delete", f"--filename={CRD}")
    wait_until(lambda: operator.logged("watch of chatbotdeployments ended, starting it again"))
    back_at = time.monotonic() + AWAY_SECONDS
    wait_until(lambda: time.monotonic() >= back_at, seconds=2 * AWAY_SECONDS)
    install(plane, CRD.read_text())

    act_on_an_edit(team, "after")
    assert operator.metric("workqueue_depth") == 0


def refusals(operator: OperatorProcess) -> Counter[str]:
    """Return what the API server refused, as far as it is said aloud, and how often."""
    return Counter(line["error"] for line in operator.lines() if line["level"] == "warning" and "forbidden" in line.get("error", ""))


def test_deleted_namespace_takes_no_other_one_along(plane: ControlPlane, operator: OperatorProcess) -> None:
    wait_until(operator.leads, seconds=30)

    plane.kubectl("delete", "namespace", DOOMED, "--timeout=60s")
    wait_until(lambda: refusals(operator).total() >= len(OWNED_KINDS), seconds=30)

    act_on_an_edit(Namespace(plane, SPARED), "of-the-running")
    assert operator.get("/livez")[0] == 200
    assert set(refusals(operator).values()) == {1}


def test_operator_that_starts_without_one_of_its_namespaces_looks_after_the_others(plane: ControlPlane, operator: OperatorProcess) -> None:
    wait_until(lambda: operator.get("/readyz"), lambda answer: answer == (200, "ok\n"), seconds=30)
    wait_until(operator.leads, seconds=30)

    assert [line["namespace"] for line in operator.logged("no resource is looked after until all kinds can be listed")] == [DOOMED]
    act_on_an_edit(Namespace(plane, SPARED), "of-the-started")
    assert set(refusals(operator).values()) == {1}
