"""The cluster's DNS: CoreDNS as a plain process on the pod gateway address, with the rights to follow Services and no others."""

import urllib.error
import urllib.request
from pathlib import Path

from devcluster import network, processes
from devcluster.binaries import binary
from devcluster.runtime import write_configuration

COREDNS = "coredns"
USER = "devcluster:dns"
PORT, READY_PORT = 53, 8181
READY_URL = f"http://{network.GATEWAY}:{READY_PORT}/ready"
READY_SECONDS = 30.0
HOST_RESOLVERS = Path("/etc/resolv.conf")


def up(state: Path, *, kubeconfig: Path) -> None:
    """Start CoreDNS and wait until it knows the cluster's Services."""
    settings = {
        "gateway": network.GATEWAY,
        "port": str(PORT),
        "ready_port": str(READY_PORT),
        "kubeconfig": str(kubeconfig),
        "forward": forwarding(HOST_RESOLVERS),
    }
    configuration = write_configuration(state, "Corefile-{digest}", template="Corefile", settings=settings)
    processes.start(state, COREDNS, [binary("coredns"), "-conf", configuration])
    processes.wait_until_ready(state, COREDNS, lambda: answers(READY_URL), timeout_seconds=READY_SECONDS)


def forwarding(resolvers: Path) -> str:
    """Return the Corefile's line that sends other names to the host's resolvers; nothing where the host has none."""
    has_one = resolvers.exists() and any(line.split()[:1] == ["nameserver"] for line in resolvers.read_text().splitlines())
    return f"    forward . {resolvers}\n" if has_one else ""


def answers(url: str) -> bool:
    """Say whether a GET is answered with success."""
    try:
        with _DIRECT.open(url, timeout=2) as response:
            return bool(response.status == 200)  # noqa: PLR2004 - HTTP's own number
    except (urllib.error.URLError, OSError):
        return False


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy of the caller's shell has no business here
