"""The control group that holds every pod, apart from all other processes of the machine, so that it can be removed whole."""

import os
from functools import partial
from pathlib import Path

from devcluster.processes import wait_until

NAME = "chatbot-devcluster"
REMOVAL_SECONDS = 10.0
SHARES_PER_CPU = 1024  # what kubelet gives all pods of a node at the root; a smaller weight here would halve it
WEIGHT_PER_CPU = 100  # the same for cgroup version 2
CONTROLLERS = frozenset({"cpu", "cpuset", "hugetlb", "io", "memory", "pids"})
_MOUNTS = Path("/proc/self/mountinfo")


def up() -> None:
    """Make the group in every hierarchy that kubelet and runc use; kubelet refuses a root that does not exist."""
    hierarchies = mounted("cgroup")
    for hierarchy in hierarchies:
        group = hierarchy / NAME
        group.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # a new group has none, and then takes no process
            if (group / setting).exists() and not (group / setting).read_text().strip():
                (group / setting).write_text((hierarchy / setting).read_text())
        if (group / "cpu.shares").exists():
            (group / "cpu.shares").write_text(str(SHARES_PER_CPU * (os.cpu_count() or 1)))
    if not hierarchies:
        _up_unified(mounted("cgroup2")[0])


def down() -> None:
    """Remove the group from every hierarchy, the innermost groups first. Its processes must have ended."""
    for folder in folders():
        wait_until(partial(_removed, folder), what=f"the processes in {folder} to end", timeout_seconds=REMOVAL_SECONDS)


def folders() -> tuple[Path, ...]:
    """Return every folder of the group in every hierarchy, the innermost first."""
    roots = [hierarchy / NAME for kind in ("cgroup", "cgroup2") for hierarchy in mounted(kind)]
    return tuple(Path(folder) for root in roots for folder, _, _ in os.walk(root, topdown=False))


def process_ids() -> frozenset[int]:
    """Return the processes in the group: those of every pod."""
    found: set[int] = set()
    for folder in folders():
        try:
            found.update(map(int, (folder / "cgroup.procs").read_text().split()))
        except FileNotFoundError:
            continue  # its last process ended just now and runc removed it
    return frozenset(found)


def mounted(kind: str) -> tuple[Path, ...]:
    """Return where hierarchies of a kind (`cgroup`: version 1, `cgroup2`) are mounted. Source: proc(5), mountinfo."""
    lines = (line.partition(" - ") for line in _MOUNTS.read_text().splitlines())
    return tuple(Path(mount.split()[4]) for mount, _, file_system in lines if file_system.split()[0] == kind)


def _up_unified(hierarchy: Path) -> None:
    """Make the group under cgroup version 2 and hand the controllers that kubelet needs down to the pods."""
    group = hierarchy / NAME
    group.mkdir(exist_ok=True)
    for folder in (hierarchy, group):
        available, handed_down = ((folder / file).read_text().split() for file in ("cgroup.controllers", "cgroup.subtree_control"))
        for controller in CONTROLLERS.intersection(available) - set(handed_down):
            (folder / "cgroup.subtree_control").write_text(f"+{controller}")
    (group / "cpu.weight").write_text(str(WEIGHT_PER_CPU * (os.cpu_count() or 1)))


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
