"""A control plane for the tests that break something between the operator and it, and the sizes: those of CI, or the full ones with SOAK.

What is drawn at random comes from SEED, which every failure names: `SEED=… pytest tests/faults` draws the same again.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chatbot_operator.resource import Manifest
from devcluster.controlplane import ControlPlane
from devcluster.controlplane import control_plane as run_control_plane
from tests.api import connections
from tests.api.definitions import CRD, install
from tests.api.operator_process import grant, start_operator
from tests.api.rights import misused_rights
from tests.faults.apiserver import Team, is_settled
from tests.faults.logs import UnreadLogs
from tests.faults.supervised import Supervised, supervised
from tests.sizes import SEED, SOAK, size
from tests.waiting import wait_until

__all__ = ["SEED", "SOAK", "Resting", "new_name", "size"]


FOLDER = Path(__file__).parent
ORDER = (
    "test_long_outages",
    "test_writes",
    "test_specs",
    "test_rest",
    "test_kills",
    "test_watches",
    "test_replicas",
    "test_outages",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that those who share the modules end together.

    A worker that begins with no more than two tests is given another module at once: the long outage's is one whose idle time is then over.
    """
    places = {FOLDER / f"{module}.py": place for place, module in enumerate(ORDER)}
    items.sort(key=lambda item: places.get(item.path, -1))


def new_name(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane that keeps running: what fails is between it and the operator, which never lacks a right."""
    with run_control_plane(tmp_path_factory.mktemp("faults")) as plane:
        install(plane, CRD.read_text())
        yield plane
        connections.close(plane)
        assert misused_rights(plane) == []


@dataclass(frozen=True)
class Resting:
    """An operator that has had nothing to do `since` then."""

    plane: ControlPlane
    user: str
    since: datetime


RESTING: dict[str, Manifest] = {"stopped": {"replicas": 0, "systemPrompt": "Be brief."}, "small": {"replicas": 1}, "large": {"replicas": 3}}


@pytest.fixture(scope="session")
def resting(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Resting]:
    """Run an operator whose resources are all as they should be from now to the session's end: who waits anyway begins with it."""
    directory, namespace = tmp_path_factory.mktemp("resting"), new_name("resting")
    plane.kubectl("create", "namespace", namespace)
    account, team = grant(plane, namespace, directory), Team(plane, namespace)
    with start_operator(account, directory) as operator:
        for name, spec in RESTING.items():
            team.apply(name, spec)
        wait_until(lambda: [team.look(name) for name in RESTING], lambda seen: all(map(is_settled, seen)), seconds=60)
        operator.wait_until_idle()
        yield Resting(plane, account.user, datetime.now(UTC))


@pytest.fixture(scope="module")
def supervisor(plane: ControlPlane, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    """An operator behind a proxy for a whole module, which names its settings in ENVIRONMENT."""
    environment: dict[str, str] = getattr(request.module, "ENVIRONMENT", {})
    with supervised(plane, new_name("faults"), tmp_path_factory.mktemp("operator"), **environment) as supervisor:
        supervisor.start()
        yield supervisor


@pytest.fixture(scope="session")
def unread() -> UnreadLogs:
    return UnreadLogs()


@pytest.fixture(autouse=True)
def clean_logs(unread: UnreadLogs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail the test during which any operator of the session wrote an error into its log."""
    yield
    assert (found := unread.complaints(tmp_path_factory.getbasetemp())) == [], f"SEED={SEED}: unexpected in the log: {found}"
