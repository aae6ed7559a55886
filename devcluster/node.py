"""The one node: kubelet, kube-proxy and CoreDNS beside containerd, on the pod gateway address.

`up` makes or repairs whatever is missing and touches nothing that is as it should be; `down` leaves no process, mount, interface, rule or
control group behind. Every file is under the state folder; kubelet's few fixed paths elsewhere are swept.
"""

import contextlib
import json
import shutil
import socket
from pathlib import Path
from string import Template
from typing import Any

from devcluster import cgroups, dns, network, processes, runtime
from devcluster.binaries import binary
from devcluster.controlplane import ControlPlane, KubectlFailed
from devcluster.progress import step
from devcluster.state import write_private

NAME = "devcluster"
KUBELET, KUBE_PROXY = "kubelet", "kube-proxy"
COMPONENTS = (runtime.CONTAINERD, KUBELET, KUBE_PROXY, dns.COREDNS)
READY_SECONDS = 90.0
KUBELET_PORT, PROXY_HEALTH_PORT, PROXY_METRICS_PORT, KUBELET_HEALTH_PORT = 10250, 10256, 10249, 10248
_BOOT = Path("/proc/sys/kernel/random/boot_id")
# What kubelet, containerd and the CNI plugins do not let one configure: swept by `down`, without harm to another user of them.
_CONTAINER_LOGS = Path("/var/log/containers")
_DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins")
_FIXED_FOLDERS = (
    _CONTAINER_LOGS,
    _DEVICE_PLUGINS,
    _DEVICE_PLUGINS.parent,
    *map(Path, ("/var/lib/cni/results", "/var/lib/cni", "/run/containerd/s", "/run/containerd")),
)


def up(control_plane: ControlPlane) -> None:
    """Start what of the node does not run, and wait until it is Ready. `network.up` came before the control plane."""
    state = control_plane.state
    _forget_former_boot(state)
    with step("container runtime"):
        runtime.up(state)
    with step("node"):
        _grant(control_plane)
        _start_kubelet(control_plane)
        _start_kube_proxy(control_plane)
        dns.up(state, kubeconfig=_kubeconfig(control_plane, dns.COREDNS, user=dns.USER))
        _wait_until_ready(control_plane)


def down(state: Path) -> None:
    """End and remove everything of the node but the state folder itself."""
    for component in (dns.COREDNS, KUBE_PROXY, KUBELET):
        processes.stop(state, component)
    runtime.down(state)
    cgroups.down()
    network.down(state)
    _sweep_fixed_paths(state)


def _grant(control_plane: ControlPlane) -> None:
    manifest = Template((runtime.TEMPLATES / "rbac.yaml").read_text()).substitute(kubelet_client=control_plane.kubelet_client)
    control_plane.kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=devcluster", "--filename=-", input=manifest)


def _start_kubelet(control_plane: ControlPlane) -> None:
    state = control_plane.state
    cgroups.up()
    authority = control_plane.authority
    serving = authority.issue("kubelet-server", name=NAME, hosts=[network.GATEWAY, NAME])
    kubeconfig = _kubeconfig(control_plane, KUBELET, user=f"system:node:{NAME}", groups=("system:nodes",))
    write_private(state / "config" / "resolv.conf", _host_resolvers().encode())
    configuration = runtime.write_configuration(
        state,
        "kubelet-{digest}.yaml",
        template="kubelet.yaml",
        settings={
            "state": str(state),
            "gateway": network.GATEWAY,
            "certificate_authority": str(authority.certificate),
            "certificate": str(serving.certificate),
            "key": str(serving.key),
            "socket": str(runtime.socket(state)),
            "cgroup": f"/{cgroups.NAME}",
        },
    )
    options: dict[str, Path | str] = {
        "config": configuration,
        "kubeconfig": kubeconfig,
        "root-dir": state / KUBELET,
        "cert-dir": state / KUBELET / "pki",
        "hostname-override": NAME,
        "node-ip": network.GATEWAY,
    }
    _start(state, KUBELET, options)
    health = f"http://{network.GATEWAY}:{KUBELET_HEALTH_PORT}/healthz"
    processes.wait_until_ready(state, KUBELET, lambda: dns.answers(health), timeout_seconds=READY_SECONDS)


def _start_kube_proxy(control_plane: ControlPlane) -> None:
    state = control_plane.state
    options: dict[str, Path | str] = {
        "kubeconfig": _kubeconfig(control_plane, KUBE_PROXY, user="system:kube-proxy"),
        "hostname-override": NAME,
        "proxy-mode": "iptables",
        "cluster-cidr": network.POD_CIDR,
        "nodeport-addresses": "127.0.0.0/8",  # load and curious neighbours stay on this machine
        "conntrack-max-per-core": "0",  # the machine's limits on connections are not ours to set
        "conntrack-tcp-timeout-established": "0s",
        "conntrack-tcp-timeout-close-wait": "0s",
        "healthz-bind-address": f"{network.GATEWAY}:{PROXY_HEALTH_PORT}",
        "metrics-bind-address": f"{network.GATEWAY}:{PROXY_METRICS_PORT}",
    }
    _start(state, KUBE_PROXY, options)
    health = f"http://{network.GATEWAY}:{PROXY_HEALTH_PORT}/livez"
    processes.wait_until_ready(state, KUBE_PROXY, lambda: dns.answers(health), timeout_seconds=READY_SECONDS)


def _start(state: Path, name: str, options: dict[str, Path | str]) -> None:
    processes.start(state, name, [binary(name), *(f"--{option}={value}" for option, value in options.items())])


def _wait_until_ready(control_plane: ControlPlane) -> None:
    def ready() -> bool:
        processes.require_running(control_plane.state, KUBELET)
        return is_ready(control_plane) and _kubelet_knows_its_pods(control_plane)

    processes.wait_until(ready, what=f"node {NAME} to be Ready", timeout_seconds=READY_SECONDS)


def is_ready(control_plane: ControlPlane) -> bool:
    """Say whether the API server holds the node Ready."""
    answer = control_plane.kubectl("get", "node", NAME, "--ignore-not-found", "--output=json")
    conditions = json.loads(answer)["status"].get("conditions", []) if answer.strip() else []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _kubelet_knows_its_pods(control_plane: ControlPlane) -> bool:
    """Say whether kubelet has read the list of its pods; before, it refuses logs and commands. Ready may stem from before its restart."""
    bound = control_plane.kubectl("get", "pods", "--all-namespaces", f"--field-selector=spec.nodeName={NAME}", "--output=json")
    try:
        known = control_plane.kubectl("get", f"--raw=/api/v1/nodes/{NAME}/proxy/pods")
    except KubectlFailed:
        return False  # the API server still holds a connection to the former kubelet
    return _living_pods(json.loads(bound)) <= {pod["metadata"]["uid"] for pod in json.loads(known)["items"] or ()}


def _living_pods(pods: dict[str, Any]) -> set[str]:
    """Return the uids of the pods that neither ended nor are being deleted."""
    living = (pod for pod in pods["items"] if pod["status"]["phase"] in ("Pending", "Running"))
    return {pod["metadata"]["uid"] for pod in living if "deletionTimestamp" not in pod["metadata"]}


def _kubeconfig(control_plane: ControlPlane, name: str, *, user: str, groups: tuple[str, ...] = ()) -> Path:
    return control_plane.write_kubeconfig(control_plane.state / f"{name}.kubeconfig", user=user, groups=groups)


def _host_resolvers() -> str:
    """Return the resolvers for pods that ask for the host's; a loopback one means nothing in a pod, so CoreDNS stands in for it."""
    lines = dns.HOST_RESOLVERS.read_text().splitlines() if dns.HOST_RESOLVERS.exists() else []
    servers = [line for line in lines if line.split()[:1] == ["nameserver"] and not line.split()[1].startswith(("127.", "::1"))]
    return "\n".join(servers or [f"nameserver {network.GATEWAY}"]) + "\n"


def _forget_former_boot(state: Path) -> None:
    """Remove what containerd and the CNI plugins remember of containers that a reboot ended."""
    noted, boot = state / "boot", _BOOT.read_text()
    if not noted.exists() or noted.read_text() != boot:
        for folder in (state / "containerd" / "state", state / "containerd" / "runc", state / "pod-addresses"):
            shutil.rmtree(folder, ignore_errors=True)
        write_private(noted, boot.encode())


def _sweep_fixed_paths(state: Path) -> None:
    """Remove our links and sockets from the shared folders, and the folders themselves where nothing else is in them."""
    for link in _CONTAINER_LOGS.glob("*"):
        if link.is_symlink() and link.readlink().is_relative_to(state):
            link.unlink()
    device_socket = _DEVICE_PLUGINS / "kubelet.sock"
    if device_socket.exists() and not _is_served(device_socket):
        device_socket.unlink()
    for folder in _FIXED_FOLDERS:
        with contextlib.suppress(OSError):  # not there, or another user's things are in it
            folder.rmdir()


def _is_served(path: Path) -> bool:
    """Say whether a process listens on a socket file."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0
