"""The machine's devcluster for a whole test session, a restricted namespace for each test. Tests that use them are marked `cluster`."""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devcluster import cluster, processes
from devcluster.controlplane import ControlPlane
from devcluster.node import KUBELET
from devcluster.state import state_folder

DEMO = "chatbot.dev/demo"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests that disturb the whole cluster after all others."""
    items.sort(key=lambda item: "disturbed" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def devcluster() -> Iterator[ControlPlane]:
    """The devcluster, up; refuses one that holds a demo. One that was not running before is removed again."""
    plane = cluster.control_plane(state_folder())
    was_running = processes.running(plane.state, KUBELET)
    cluster.up(plane.state)
    if plane.kubectl("get", "namespace", f"--selector={DEMO}", "--output=name"):
        pytest.exit("the devcluster holds the demo, which cluster tests would disturb: run `make demo-down` first", returncode=1)
    yield plane
    (cluster.up if was_running else cluster.down)(plane.state)


@pytest.fixture(scope="session")
def kubeconfig(devcluster: ControlPlane) -> Path:
    """The administrator's kubeconfig of the running devcluster."""
    return devcluster.kubeconfig


@pytest.fixture(scope="session")
def kubectl(devcluster: ControlPlane) -> Callable[..., str]:
    """kubectl as the administrator: `kubectl("get", "pods", input=None)` returns its standard output, raises KubectlFailed."""
    return devcluster.kubectl


@pytest.fixture
def namespace(devcluster: ControlPlane) -> Iterator[str]:
    """A namespace of the test's own under the restricted Pod Security standard."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}
    devcluster.kubectl("create", "--filename=-", input=json.dumps(manifest))
    yield name
    devcluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def disturbed(devcluster: ControlPlane) -> ControlPlane:
    """The devcluster for a test that kills or removes parts of it; it runs after all others and leaves the cluster up."""
    return devcluster
