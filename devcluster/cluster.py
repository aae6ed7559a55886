"""The devcluster of this machine as a whole: up, down, status. One command at a time changes it; each step repairs what is not there."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from devcluster import binaries, dns, network, node, processes, runtime
from devcluster.controlplane import ControlPlane
from devcluster.errors import DevclusterError, PrivilegeMissing
from devcluster.ports import require_free
from devcluster.progress import say, step
from devcluster.state import lock

API_SERVER_PORT = 6443
NODE_PORTS = {
    node.KUBELET: (node.KUBELET_PORT, node.KUBELET_HEALTH_PORT),
    node.KUBE_PROXY: (node.PROXY_HEALTH_PORT, node.PROXY_METRICS_PORT),
    dns.COREDNS: (dns.PORT, dns.READY_PORT),
}
REMOVING = "removing"  # the file that says, while it is there, that the data may be gone in part
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", *node.COMPONENTS)


def control_plane(state: Path) -> ControlPlane:
    """Describe the devcluster's control plane: pods reach it at the node's address, programs of this machine at 127.0.0.1."""
    return ControlPlane(state, API_SERVER_PORT, bind_address="0.0.0.0", node_address=network.GATEWAY)


def up(state: Path) -> None:
    """Bring the devcluster up, or repair it, and return when its node is Ready. Changes nothing when all of it runs."""
    require_root()
    with lock(state):
        binaries.build()
        if (state / REMOVING).exists():  # a killed 'down' had ended everything, but not deleted all
            remove_data(state)
        require_ports(state, {"kube-apiserver": (API_SERVER_PORT,)}, address="0.0.0.0")
        network.up(state, private_port=API_SERVER_PORT)
        require_ports(state, NODE_PORTS, address=network.GATEWAY)
        plane = control_plane(state)
        with step("control plane"):
            plane.start()
        node.up(plane)
        say(f"the devcluster runs: export KUBECONFIG={plane.kubeconfig}")


def down(state: Path) -> None:
    """Remove the devcluster: processes, pods, mounts, network, control groups and data. The built binaries stay."""
    require_root()
    with lock(state), step("removing the devcluster"):
        node.down(state)
        control_plane(state).stop()
        processes.stop_all(state)
        remove_data(state)


def load(state: Path, archives: list[Path]) -> None:
    """Bring image archives into the running devcluster."""
    require_root()
    with lock(state):
        if not processes.running(state, runtime.CONTAINERD):
            raise DevclusterError("the devcluster does not run: python -m devcluster up")
        for name in runtime.load(state, archives):
            say(f"loaded {name}")


def status(state: Path) -> dict[str, str]:
    """Return what each component does, and whether the API server and the node are ready."""
    found = {name: f"running, pid {pid}" if (pid := processes.pid(state, name)) else "not running" for name in COMPONENTS}
    plane = control_plane(state)
    api_server_ready = processes.running(state, "kube-apiserver") and plane.ready()
    node_ready = api_server_ready and node.is_ready(plane)
    return found | {"API server": "ready" if api_server_ready else "not ready", "node": "ready" if node_ready else "not ready"}


def require_ports(state: Path, wanted: Mapping[str, Sequence[int]], *, address: str) -> None:
    """Raise PortTaken if somebody else holds a port of a component that does not run yet."""
    for component, ports in wanted.items():
        if not processes.running(state, component):
            processes.stop(state, component)  # a killed one holds its port until its last thread is gone
            for port in ports:
                require_free(port, address=address, purpose=component)


def remove_data(state: Path) -> None:
    """Empty the state folder but for the lock, which the next command may already wait for; the next `up` finishes what is interrupted."""
    if mounts := runtime.mounts_under(state):
        raise DevclusterError(f"{mounts[0]} is still mounted: nothing was deleted; unmount it and try again")
    (state / REMOVING).touch()
    for path in state.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name not in ("lock", REMOVING):
            path.unlink()
    (state / REMOVING).unlink()


def require_root() -> None:
    """Raise PrivilegeMissing unless we are root, which containers, network and mounts need."""
    if os.geteuid() != 0:
        raise PrivilegeMissing("the devcluster runs containers and sets up a network: it needs root, run this command as root (sudo)")
