"""A real API server for a whole test session, a namespace for each test, or with an operator for each module.

Tests that use them carry the marker `api`. Modules are shared between workers, each with an API server of its own: what a test changes for
a whole cluster is seen by the module's own tests and by those of the modules after it, so it is taken back.
"""

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chatbot_operator.cluster import Cluster, load_configuration
from devcluster.controlplane import ControlPlane
from devcluster.controlplane import control_plane as run_control_plane
from tests.api import connections
from tests.api.definitions import CRD, install, monitoring_definition
from tests.api.operator_process import Account, Namespace, OperatorProcess, Requests, grant, start_operator
from tests.api.rights import misused_rights

FOLDER = Path(__file__).parent
LONGEST_FIRST = (
    "api/test_reconcile",
    "api/test_watch",
    "api/agreement/test_agreement",
    "api/test_deletion",
    "devcluster/test_controlplane",
    "api/test_refusals",
    "api/agreement/test_history",
    "api/test_rights",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that those who share the modules end together."""
    places = {FOLDER.parent / f"{module}.py": place for place, module in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Run an API server for the session; no operator must have lacked a right there, or used one that the chart does not grant."""
    with run_control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane
        connections.close(plane)
        assert misused_rights(plane) == []


@pytest.fixture(scope="session")
def control_plane_with_crd(control_plane: ControlPlane) -> ControlPlane:
    install(control_plane, CRD.read_text())
    return control_plane


@pytest.fixture(scope="module")
def pod_monitors(control_plane_with_crd: ControlPlane) -> Iterator[None]:
    """The kind PodMonitor, as the Prometheus operator brings it."""
    definition = monitoring_definition("podmonitors")
    install(control_plane_with_crd, definition)
    yield
    control_plane_with_crd.kubectl("delete", "--filename=-", input=definition)


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:8]}"
    control_plane.kubectl("create", "namespace", name)
    yield name
    control_plane.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
async def cluster(control_plane_with_crd: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    """The operator's client of the API server, with an administrator's rights; KUBECONFIG names that server too."""
    monkeypatch.setenv("KUBECONFIG", str(control_plane_with_crd.kubeconfig))
    cluster = Cluster(await load_configuration())
    yield cluster
    await cluster.close()


@pytest.fixture(scope="module")
def team(control_plane_with_crd: ControlPlane) -> Iterator[Namespace]:
    """A namespace for a whole module."""
    team = Namespace(control_plane_with_crd, f"team-{uuid.uuid4().hex[:6]}")
    team.plane.kubectl("create", "namespace", team.name)
    yield team
    team.plane.kubectl("delete", "namespace", team.name, "--wait=false")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the module's operators have their kubeconfig and their logs."""
    return tmp_path_factory.mktemp("operator")


@pytest.fixture(scope="module")
def account(team: Namespace, directory: Path) -> Account:
    """Whom the module's operators act as."""
    return grant(team.plane, team.name, directory)


@pytest.fixture(scope="module")
def operator(account: Account, directory: Path) -> Iterator[OperatorProcess]:
    """An operator for a whole module; each test has its own resource."""
    with start_operator(account, directory) as operator:
        yield operator


@pytest.fixture
def requests(team: Namespace, account: Account) -> Requests:
    """What the module's operators asked of the API server."""
    return Requests(team.plane, account.user)


@pytest.fixture
def bot(operator: OperatorProcess, team: Namespace) -> Iterator[str]:
    """A name for this test's resource, of which no other one is a prefix."""
    name = f"bot-{uuid.uuid4().hex[:8]}"
    yield name
    team.kubectl("delete", "chatbot", name, "--ignore-not-found", "--wait=false")
