"""The machine's devcluster for a whole test session, with the operator where a test asks for it; a namespace for each test.

Tests that use them are marked `cluster`.
"""

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devcluster import cluster, processes
from devcluster.binaries import binary
from devcluster.controlplane import ControlPlane
from devcluster.node import KUBELET
from devcluster.state import state_folder
from scripts.commands import Tools
from scripts.installation import CRD, IMAGES, OPERATOR, RELEASE, SYSTEM_NAMESPACE, archive
from tests.api.operator_process import complaints
from tests.cluster.places import NAMESPACE_LABEL, ROOT, UPSTREAM_NAMESPACE, Manifest, namespace_manifest

DEMO = "chatbot.dev/demo"
OFTEN = '--set-json=extraEnv=[{"name": "OPERATOR_REPORT_INTERVAL_SECONDS", "value": "5"}]'
"""Pods are asked three times as often as by default, for which tests would wait; test_documents.py has the chart as it is."""


LATER = ("rested", "emptied", "disturbed", "removed")
"""Fixtures in the order of the tests that need them: time has passed, the cluster is empty, is disturbed, is removed for good."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests that wait for time to pass, need an empty cluster, or disturb it, which may lose its images, after all others."""

    def rank(item: pytest.Item) -> int:
        names = getattr(item, "fixturenames", ())
        return max((number for number, name in enumerate(LATER, start=1) if name in names), default=0)

    items.sort(key=rank)


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
    """A namespace of the test's own, under the restricted Pod Security standard as every one of the devcluster."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    devcluster.kubectl("create", "namespace", name)
    yield name
    devcluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def tools(devcluster: ControlPlane) -> Tools:
    """kubectl and helm for the devcluster, with the three images in it."""
    archives = [str(archive(name)) for name in IMAGES]
    subprocess.run([sys.executable, "-m", "devcluster", "load", *archives], cwd=ROOT, check=True)
    return Tools(kubectl_binary=binary("kubectl"), helm_binary=binary("helm"), kubeconfig=str(devcluster.kubeconfig))


@pytest.fixture(scope="session")
def complained() -> list[str]:
    """What was unexpected of an operator that is removed before the session ends."""
    return []


@pytest.fixture(scope="session")
def installed(devcluster: ControlPlane, tools: Tools, complained: list[str]) -> Iterator[Tools]:
    """The operator, installed by `helm install --wait`, and a simulator for it to talk to; all of it removed at the end.

    The last tests of a session may have removed the cluster, and all of it with that. The replicas that run when it is removed, here or by
    `emptied`, must not have been started again, nor have logged an error; nothing is asked of those that were deleted before.
    """
    _remove(tools)
    for name in (SYSTEM_NAMESPACE, UPSTREAM_NAMESPACE):
        tools.kubectl("apply", "--server-side", "--filename=-", stdin=namespace_manifest(name))
    simulator = (ROOT / "examples" / "simulator.yaml").read_text().replace("chatbot-demo", UPSTREAM_NAMESPACE)
    tools.kubectl("apply", "--server-side", "--filename=-", stdin=simulator)
    chart = str(ROOT / "charts" / "chatbot-operator")
    tools.helm("install", RELEASE, chart, f"--namespace={SYSTEM_NAMESPACE}", OFTEN, "--wait", "--timeout=2m")
    tools.kubectl("rollout", "status", "deployment/anthropic-simulator", f"--namespace={UPSTREAM_NAMESPACE}", "--timeout=2m")
    assert running_replicas(tools) != []
    yield tools
    if processes.running(devcluster.state, KUBELET):
        complained += unexpected_of_the_operator(tools)
        _remove(tools)
    assert complained == []


def running_replicas(tools: Tools) -> list[Manifest]:
    """Return the operator's running pods but those that are being deleted, whose logs may go at any moment."""
    selectors = (f"--selector=app.kubernetes.io/name={OPERATOR}", "--field-selector=status.phase=Running")
    pods: list[Manifest] = tools.kubectl_json("get", "pods", f"--namespace={SYSTEM_NAMESPACE}", *selectors, "--output=json")["items"]
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def unexpected_of_the_operator(tools: Tools) -> list[str]:
    """Return the lines of the replicas' logs that speak of a defect, and which of them were started again."""
    found = []
    for pod in running_replicas(tools):
        name, [container] = pod["metadata"]["name"], pod["status"]["containerStatuses"]
        found += [f"{name} was started again {restarts} times"] if (restarts := container["restartCount"]) else []
        found += complaints(tools.kubectl("logs", name, f"--namespace={SYSTEM_NAMESPACE}").splitlines())
    return found


def _remove(tools: Tools) -> None:
    tools.helm("uninstall", RELEASE, f"--namespace={SYSTEM_NAMESPACE}", "--ignore-not-found", "--wait")
    tools.kubectl("delete", "customresourcedefinition", CRD, "--ignore-not-found")
    tools.kubectl("delete", "namespace", f"--selector={NAMESPACE_LABEL}", "--ignore-not-found")


@pytest.fixture(scope="session")
def emptied(tools: Tools, complained: list[str]) -> None:
    """What `installed` made is gone again: whoever disturbs the cluster, or installs the demo, begins with an empty one."""
    complained += unexpected_of_the_operator(tools)
    _remove(tools)


@pytest.fixture
def disturbed(devcluster: ControlPlane, emptied: None) -> ControlPlane:
    """The devcluster for a test that kills or removes parts of it; it runs after all others and leaves the cluster up."""
    return devcluster


@pytest.fixture
def removed(disturbed: ControlPlane) -> None:
    """Of tests that remove the cluster and do not bring it back: the very last."""
