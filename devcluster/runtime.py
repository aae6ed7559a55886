"""The node's container runtime: Debian's containerd and runc with every path of their own, and the images in them.

The machine's own containerd, running or not, is never touched. Images come from archives; one that is there already is not loaded again.
"""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from string import Template

from devcluster import cgroups, network, processes, versions
from devcluster.archive import Image, read_images, write_archive
from devcluster.binaries import binary
from devcluster.errors import DevclusterError
from devcluster.state import write_private

CONTAINERD = "containerd"
PAUSE_IMAGE = f"devcluster.local/pause:{versions.PAUSE}"
TEMPLATES = Path(__file__).parent / "templates"
# containerd's CRI part takes an image for known by this label, also when its name has come to mean another image (seen with 1.6.20).
UNSEEN = "io.cri-containerd.image="
HOLDERS = ("containerd-shim-runc-v2", "runc")
READY_SECONDS = 30.0
LOAD_SECONDS = 120.0
END_SECONDS = 15.0


class RuntimeUnavailable(DevclusterError):
    """Containers cannot be run on this machine, or an image cannot be loaded."""


def socket(state: Path) -> Path:
    """Return containerd's socket."""
    return state / "containerd" / "containerd.sock"


def up(state: Path) -> None:
    """Start containerd with the pods' network configuration, and load the pause image."""
    _require_programs()
    settings = {
        "state": str(state),
        "socket": str(socket(state)),
        "pause_image": PAUSE_IMAGE,
        "cni_plugins": str(network.CNI_PLUGINS),
        "network": network.NETWORK,
        "bridge": network.BRIDGE,
        "pod_cidr": network.POD_CIDR,
    }
    write_configuration(state, "cni/10-pods.conflist", template="cni.json", settings=settings)
    configuration = write_configuration(state, "containerd-{digest}.toml", template="containerd.toml", settings=settings)
    processes.start(state, CONTAINERD, ["containerd", "--config", configuration])
    processes.wait_until_ready(state, CONTAINERD, lambda: _answers(state), timeout_seconds=READY_SECONDS)
    archive = state / "images" / "pause.tar"
    if not archive.exists():
        write_archive(archive, reference=PAUSE_IMAGE, programs={"/pause": binary("pause")}, entrypoint=["/pause"])
    load(state, [archive])


def down(state: Path) -> None:
    """End every container and containerd, and unmount what they mounted."""
    processes.stop(state, "kubelet")  # it would start them again
    processes.stop(state, CONTAINERD)
    addresses = _shim_sockets(state)
    processes.wait_until(partial(_end_containers, state), what="the containers to end", timeout_seconds=END_SECONDS)
    for mount in mounts_under(state):
        _unmount(mount)
    for address in addresses:
        address.unlink(missing_ok=True)


def load(state: Path, archives: Iterable[Path]) -> tuple[str, ...]:
    """Bring the images of archives into containerd and return the names of those that were not there yet. Raises RuntimeUnavailable."""
    added: list[str] = []
    for archive in archives:
        missing = [image for image in read_images(archive) if not _loaded(state, image)]
        if missing:
            _ctr(state, "images", "import", str(archive))
            for reference in (reference for image in missing for reference in image.references):
                _ctr(state, "images", "label", full_name(reference), UNSEEN)
            processes.wait_until(
                partial(_all_loaded, state, missing), what=f"kubelet's view of {archive.name}", timeout_seconds=LOAD_SECONDS
            )
        added.extend(reference for image in missing for reference in image.references)
    return tuple(added)


def images(state: Path) -> dict[str, str]:
    """Return the digest of the manifest of each image by its name; kubelet's view of an image is named by its id."""
    rows = _ctr(state, "images", "list").splitlines()[1:]
    return {name: digest for name, _, digest in (row.split()[:3] for row in rows)}


def write_configuration(state: Path, name: str, *, template: str, settings: dict[str, str]) -> Path:
    """Write a configuration file from a template, atomically, and return its path.

    `{digest}` in the name becomes that of the content, so a process that reads it gets another command line, and is restarted, on a change.
    """
    content = Template((TEMPLATES / template).read_text()).substitute(settings).encode()
    return write_private(state / "config" / name.format(digest=hashlib.sha256(content).hexdigest()[:8]), content)


def container_processes(state: Path) -> frozenset[int]:
    """Return the processes of every container, and those of containerd that hold or start them."""
    folder = f"{state}/containerd/".encode()
    return cgroups.process_ids() | {
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if folder in (command := _command_line(process)) and Path(os.fsdecode(command).partition("\0")[0]).name in HOLDERS
    }


def mounts_under(folder: Path) -> tuple[Path, ...]:
    """Return every mount point under a folder, the innermost first. Source: proc(5), mountinfo."""
    points = [Path(line.split()[4].replace("\\040", " ")) for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    inside = (point for point in points if point.is_relative_to(folder))
    return tuple(sorted(inside, key=lambda point: len(point.parts), reverse=True))


def _require_programs() -> None:
    missing = [
        program for program in ("containerd", "containerd-shim-runc-v2", "ctr", "runc", "iptables", "ip") if not shutil.which(program)
    ]
    missing += [str(plugin) for name in ("bridge", "host-local", "portmap") if not (plugin := network.CNI_PLUGINS / name).exists()]
    if missing:
        raise RuntimeUnavailable(
            f"the node needs {', '.join(missing)}: apt-get install containerd runc containernetworking-plugins iptables iproute2 conntrack"
        )


def _answers(state: Path) -> bool:
    """Say whether containerd and its CRI part serve."""
    finished = _run_ctr(state, "plugins", "list", "id==cri")
    return finished.returncode == 0 and finished.stdout.split()[-1:] == ["ok"]


def _all_loaded(state: Path, wanted: Sequence[Image]) -> bool:
    return all(_loaded(state, image) for image in wanted)


def _loaded(state: Path, image: Image) -> bool:
    """Say whether every name of the image means this very image, also for kubelet."""
    known = images(state)
    return image.identity in known and all(known.get(full_name(reference)) == known[image.identity] for reference in image.references)


def full_name(reference: str) -> str:
    """Return the name that containerd gives an image: one without a registry is completed as Docker does."""
    first, slash, _ = reference.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return reference
    return f"docker.io/{reference}" if slash else f"docker.io/library/{reference}"


def _shim_sockets(state: Path) -> tuple[Path, ...]:
    """Return the sockets of the shims, which lie in a folder that containerd fixes for all its instances."""
    addresses = (state / "containerd" / "state").glob("io.containerd.runtime.v2.task/*/*/address")
    return tuple(Path(address.read_text().removeprefix("unix://")) for address in addresses)


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""  # it ended just now


def _end_containers(state: Path) -> bool:
    """Kill every process of the containers and say whether none was left; a fork may have escaped the last time."""
    left = container_processes(state)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):  # it ended just now
            os.kill(pid, signal.SIGKILL)
    return not left


def _unmount(mount: Path) -> None:
    finished = subprocess.run(["umount", "--lazy", mount], capture_output=True, text=True, check=False)
    if finished.returncode != 0 and os.path.ismount(mount):
        raise RuntimeUnavailable(f"cannot unmount {mount}: {finished.stderr.strip()}")


def _ctr(state: Path, *arguments: str) -> str:
    finished = _run_ctr(state, *arguments)
    if finished.returncode != 0:
        raise RuntimeUnavailable(f"'ctr {' '.join(arguments)}' failed: {finished.stderr.strip()}")
    return finished.stdout


def _run_ctr(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command: Sequence[str] = ["ctr", "--address", str(socket(state)), "--namespace", "k8s.io", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=LOAD_SECONDS)
