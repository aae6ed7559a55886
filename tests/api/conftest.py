"""A real API server for a whole test session, a namespace for each test. Tests that use them carry the marker `api`."""

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chatbot_operator.cluster import Cluster, load_configuration
from devcluster.controlplane import ControlPlane
from devcluster.controlplane import control_plane as run_control_plane
from tests.api import connections
from tests.api.definitions import CRD, install

POD_MONITORS = Path(__file__).parent / "crd" / "podmonitors.yaml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the test that looks back on all others after them."""
    items.sort(key=lambda item: "after_all_others" in getattr(item, "fixturenames", ()))


@pytest.fixture
def after_all_others() -> None:
    """For a test that must be the last one."""


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with run_control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane
        connections.close(plane)


@pytest.fixture(scope="session")
def control_plane_with_crd(control_plane: ControlPlane) -> ControlPlane:
    install(control_plane, CRD.read_text())
    return control_plane


@pytest.fixture(scope="module")
def pod_monitors(control_plane_with_crd: ControlPlane) -> Iterator[None]:
    """The kind PodMonitor, as the Prometheus operator would bring it, as far as the operator writes it."""
    install(control_plane_with_crd, POD_MONITORS.read_text())
    yield
    control_plane_with_crd.kubectl("delete", f"--filename={POD_MONITORS}")


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
