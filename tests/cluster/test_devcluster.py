"""The devcluster is a real Kubernetes: pods, names, Services, logs; it repairs itself by `up` and leaves nothing behind by `down`."""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devcluster import cluster, network, node, processes, runtime
from devcluster.archive import read_images, write_archive
from devcluster.controlplane import ControlPlane, KubectlFailed
from tests.cluster.leftovers import leftovers

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).parent / "probe" / "main.go"
NAMESPACE, IMAGE = "devcluster-probe", "cluster-probe:test"
HEAL_SECONDS = 60.0
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Probe:
    """Two pods that serve their names behind a NodePort Service."""

    devcluster: ControlPlane
    archive: Path
    node_port: int

    def run(self, *arguments: str) -> str:
        """Run the probe's program in one of its pods."""
        return self.devcluster.kubectl("exec", f"--namespace={NAMESPACE}", "deployment/probe", "--", "/probe", *arguments).strip()

    def ask(self) -> str:
        """Return the name of the pod that answers on the NodePort."""
        with _direct.open(f"http://127.0.0.1:{self.node_port}/", timeout=2) as response:
            return str(response.read().decode())

    def answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self.ask().startswith("probe-")
        return False


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probe")
    environment = os.environ | {"CGO_ENABLED": "0", "GO111MODULE": "off"}
    subprocess.run(["go", "build", "-ldflags=-s -w", f"-o={folder}/probe", SOURCE], env=environment, check=True)
    return write_archive(folder / "probe.tar", reference=IMAGE, programs={"/probe": folder / "probe"}, entrypoint=["/probe"])


@pytest.fixture(scope="module")
def probe(devcluster: ControlPlane, archive: Path) -> Iterator[Probe]:
    yield deploy(devcluster, archive)
    devcluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")


@pytest.fixture
def neighbour() -> Iterator[Sequence[str]]:
    """The start of a command line that runs it on another machine: a network of its own, this machine its gateway 198.51.100.1."""
    name = "devcluster-test"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for command in (
            f"link add {name} type veth peer name eth0 netns {name}",
            f"address add 198.51.100.1/30 dev {name}",
            f"link set {name} up",
            f"-n {name} address add 198.51.100.2/30 dev eth0",
            f"-n {name} link set eth0 up",
            f"-n {name} route add default via 198.51.100.1",
        ):
            subprocess.run(["ip", *command.split()], check=True)
        yield ("ip", "netns", "exec", name)
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def test_the_node_is_ready_and_everything_runs(devcluster: ControlPlane) -> None:
    status = cluster.status(devcluster.state)

    assert {name: text for name, text in status.items() if text.startswith("not ")} == {}


def test_a_pod_runs_under_the_restricted_standard(devcluster: ControlPlane, probe: Probe) -> None:
    pods = json.loads(devcluster.kubectl("get", "pods", f"--namespace={NAMESPACE}", "--output=json"))["items"]

    assert {pod["status"]["phase"] for pod in pods} == {"Running"}


def test_a_pod_that_breaks_the_restricted_standard_is_refused(kubectl: Callable[..., str], namespace: str) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root"}, "spec": {"containers": [{"name": "root", "image": IMAGE}]}}

    with pytest.raises(KubectlFailed, match="violates PodSecurity"):
        kubectl("create", f"--namespace={namespace}", "--filename=-", input=json.dumps(pod))


@pytest.mark.parametrize("name", ["probe", "probe.devcluster-probe", "probe.devcluster-probe.svc.cluster.local"])
def test_a_pod_resolves_a_service(devcluster: ControlPlane, probe: Probe, name: str) -> None:
    address = devcluster.kubectl("get", "service", "probe", f"--namespace={NAMESPACE}", "--output=jsonpath={.spec.clusterIP}")

    assert probe.run("resolve", name) == address


def test_a_service_that_is_not_there_has_no_address(probe: Probe) -> None:
    with pytest.raises(KubectlFailed, match="no such host"):
        probe.run("resolve", f"nothing.{NAMESPACE}.svc.cluster.local.")


def test_a_pod_reaches_the_pods_of_a_service_itself_included(probe: Probe) -> None:
    answered = {probe.run("get", f"http://probe.{NAMESPACE}.svc/") for _ in range(12)}

    assert len(answered) == 2


def test_a_service_without_pods_refuses_at_once(probe: Probe) -> None:
    with pytest.raises(KubectlFailed, match="connection refused"):
        probe.run("get", f"http://nobody.{NAMESPACE}.svc/")


def test_a_pod_reaches_the_api_server(probe: Probe) -> None:
    with pytest.raises(KubectlFailed, match=r"certificate signed by unknown authority|certificate is not trusted"):
        probe.run("get", "https://kubernetes.default.svc/")


def test_a_node_port_answers_on_the_loopback_address(probe: Probe) -> None:
    assert probe.ask().startswith("probe-")


def test_another_machine_reaches_neither_the_api_server_nor_kubelet(devcluster: ControlPlane, neighbour: Sequence[str]) -> None:
    for address, port in (
        ("198.51.100.1", cluster.API_SERVER_PORT),
        (network.GATEWAY, cluster.API_SERVER_PORT),
        ("198.51.100.1", node.KUBELET_PORT),
    ):
        connect = f"import socket; socket.create_connection(({address!r}, {port}), timeout=5)"
        finished = subprocess.run([*neighbour, sys.executable, "-c", connect], capture_output=True, text=True, check=False)
        assert "ConnectionRefusedError" in finished.stderr, f"{address}:{port}"


def test_logs_come_from_the_pod(devcluster: ControlPlane, probe: Probe) -> None:
    assert devcluster.kubectl("logs", f"--namespace={NAMESPACE}", "deployment/probe").startswith("serving\n")


def test_an_image_that_is_there_is_not_loaded_again(devcluster: ControlPlane, probe: Probe) -> None:
    assert runtime.load(devcluster.state, [probe.archive]) == ()


def test_a_name_that_means_another_image_is_loaded_again(devcluster: ControlPlane, tmp_path: Path) -> None:
    for content in (b"one", b"two", b"one"):
        (tmp_path / "program").write_bytes(content)
        archive = write_archive(
            tmp_path / "image.tar", reference="renamed:1", programs={"/program": tmp_path / "program"}, entrypoint=["/program"]
        )

        cluster.load(devcluster.state, [archive])

        (image,) = read_images(archive)
        known = runtime.images(devcluster.state)
        assert known["docker.io/library/renamed:1"] == known[image.identity]


def test_up_on_a_healthy_cluster_changes_nothing(devcluster: ControlPlane, probe: Probe) -> None:
    before = process_ids(devcluster), runtime.container_processes(devcluster.state), settings(devcluster)

    cluster.up(devcluster.state)

    assert (process_ids(devcluster), runtime.container_processes(devcluster.state), settings(devcluster)) == before


@pytest.mark.parametrize("component", cluster.COMPONENTS)
def test_a_killed_part_is_back_after_up(disturbed: ControlPlane, probe: Probe, component: str) -> None:
    before = process_ids(disturbed)
    kill(before[component])

    cluster.up(disturbed.state)

    after = process_ids(disturbed)
    assert {name for name in before if before[name] != after[name]} == {component}
    assert_everything_works(disturbed, probe)


def test_all_parts_and_pods_killed_at_once_are_back_after_up(disturbed: ControlPlane, probe: Probe) -> None:
    for pid in (*process_ids(disturbed).values(), *runtime.container_processes(disturbed.state)):
        kill(pid)

    cluster.up(disturbed.state)

    assert_everything_works(disturbed, probe)


def test_a_lost_bridge_and_lost_rules_are_back_after_up(disturbed: ControlPlane, probe: Probe) -> None:
    processes.stop(disturbed.state, node.KUBE_PROXY)
    network.down(disturbed.state)

    cluster.up(disturbed.state)
    disturbed.kubectl("delete", "pods", "--all", f"--namespace={NAMESPACE}", "--force")  # their interfaces went with the bridge

    assert_everything_works(disturbed, probe)


def test_pods_are_back_after_a_reboot_of_the_machine(disturbed: ControlPlane, probe: Probe) -> None:
    node.down(disturbed.state)
    disturbed.stop()
    (disturbed.state / "boot").write_text("a boot before this one")

    cluster.up(disturbed.state)

    assert_everything_works(disturbed, probe)


def test_down_leaves_nothing_and_up_starts_anew_though_it_is_killed_midway(disturbed: ControlPlane, probe: Probe) -> None:
    cluster.down(disturbed.state)

    assert leftovers(disturbed.state) == {}

    for reached in ("kube-apiserver", node.KUBELET):
        up_until(disturbed, reached)
    cluster.up(disturbed.state)
    assert_everything_works(disturbed, deploy(disturbed, probe.archive))


def up_until(devcluster: ControlPlane, reached: str) -> None:
    """Begin to start the cluster and be killed as soon as a part of it runs."""
    with subprocess.Popen([sys.executable, "-m", "devcluster", "up"], cwd=ROOT, stderr=subprocess.DEVNULL) as interrupted:
        processes.wait_until(lambda: processes.running(devcluster.state, reached), what=reached, timeout_seconds=HEAL_SECONDS)
        interrupted.kill()


def test_a_down_that_was_interrupted_while_it_deleted_is_finished_by_up(disturbed: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    rmtree = shutil.rmtree

    def delete_a_part(folder: Path) -> None:
        if folder.name == "etcd":
            rmtree(folder / "member" / "wal")
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", delete_a_part)
        with pytest.raises(KeyboardInterrupt):
            cluster.down(disturbed.state)

    cluster.up(disturbed.state)

    assert [text for text in cluster.status(disturbed.state).values() if text.startswith("not ")] == []


def assert_everything_works(devcluster: ControlPlane, probe: Probe) -> None:
    """Both pods are ready, the NodePort leads to them, names resolve and commands run in them."""
    processes.wait_until(lambda: node.is_ready(devcluster), what="the node", timeout_seconds=HEAL_SECONDS)
    rolled_out(devcluster)
    processes.wait_until(probe.answers, what="the NodePort", timeout_seconds=HEAL_SECONDS)
    assert probe.run("get", f"http://probe.{NAMESPACE}.svc/").startswith("probe-")


def deploy(devcluster: ControlPlane, archive: Path) -> Probe:
    """Run the probe's pods and return when they are ready."""
    cluster.load(devcluster.state, [archive])
    documents = {"apiVersion": "v1", "kind": "List", "items": manifests()}
    devcluster.kubectl("apply", "--server-side", "--filename=-", input=json.dumps(documents))
    rolled_out(devcluster)
    port = devcluster.kubectl("get", "service", "probe", f"--namespace={NAMESPACE}", "--output=jsonpath={.spec.ports[0].nodePort}")
    return Probe(devcluster, archive, int(port))


def rolled_out(devcluster: ControlPlane) -> None:
    devcluster.kubectl("rollout", "status", "deployment/probe", f"--namespace={NAMESPACE}", f"--timeout={HEAL_SECONDS:.0f}s")
    devcluster.kubectl("wait", "pods", "--all", f"--namespace={NAMESPACE}", "--for=condition=Ready", f"--timeout={HEAL_SECONDS:.0f}s")


def manifests() -> Sequence[dict[str, Any]]:
    labels = {"app": "probe"}
    container = {
        "name": "probe",
        "image": IMAGE,
        "args": ["serve"],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    deployment = {"replicas": 2, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    ports = [{"port": 80, "targetPort": 8080}]
    service = {"type": "NodePort", "selector": labels, "ports": ports}
    return (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "probe", "namespace": NAMESPACE}, "spec": deployment},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "probe", "namespace": NAMESPACE}, "spec": service},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "nobody", "namespace": NAMESPACE},
            "spec": {"selector": {"app": "nobody"}, "ports": ports},
        },
    )


def process_ids(devcluster: ControlPlane) -> dict[str, int]:
    return {name: pid for name in cluster.COMPONENTS if (pid := processes.pid(devcluster.state, name))}


def settings(devcluster: ControlPlane) -> dict[Path, bytes]:
    """Return the content of every configuration file, key and kubeconfig."""
    folders = (devcluster.state, devcluster.state / "config", devcluster.state / "certificates")
    ignored = {"lock", "audit.log"}
    return {file: file.read_bytes() for folder in folders for file in folder.iterdir() if file.is_file() and file.name not in ignored}


def kill(pid: int) -> None:
    """Kill a process and return when it is gone with all its threads, sockets and files."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        select.select([descriptor], [], [], HEAL_SECONDS)
        os.close(descriptor)
