"""A real API server for a whole test session, a namespace for each test. Tests that use them carry the marker `api`."""

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chatbot_operator.cluster import Cluster, load_configuration
from devcluster.controlplane import ControlPlane
from devcluster.controlplane import control_plane as run_control_plane

CRD = Path(__file__).parents[2] / "crds" / "chatbotdeployments.chatbot.dev.yaml"


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with run_control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@pytest.fixture(scope="session")
def control_plane_with_crd(control_plane: ControlPlane) -> ControlPlane:
    control_plane.kubectl("apply", "--server-side", f"--filename={CRD}")
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", f"--filename={CRD}")
    return control_plane


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
