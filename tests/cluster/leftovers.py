"""What is left on the machine of a devcluster that was removed."""

import contextlib
import subprocess
from pathlib import Path

from devcluster import cgroups, network, runtime

OURS = ("KUBE-", "CHATBOT-", " 10.244.0.", " 10.96.")


def leftovers(state: Path) -> dict[str, object]:
    """Return everything that should be gone, by kind; empty when nothing is left but the lock."""
    found: dict[str, object] = {
        "processes": processes_of(state),
        "mounts": runtime.mounts_under(state),
        "bridge": [path for path in Path("/sys/class/net").iterdir() if path.name == network.BRIDGE],
        "iptables rules": [line for line in iptables() if any(word in line for word in OURS)],
        "control groups": cgroups.folders(),
        "files": [path for path in state.iterdir() if path.name != "lock"],
    }
    return {kind: left for kind, left in found.items() if left}


def iptables() -> list[str]:
    """Return the machine's rules."""
    saved = [
        subprocess.run([command], capture_output=True, text=True, check=True).stdout for command in ("iptables-save", "ip6tables-save")
    ]
    return "".join(saved).splitlines()


def processes_of(folder: Path) -> dict[int, str]:
    """Return the processes that work in a folder or are told of it on their command line."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended just now, or is none of ours to look into
            command = (process / "cmdline").read_text(errors="replace")
            if str(folder) in command or (process / "cwd").readlink().is_relative_to(folder):
                found[int(process.name)] = command
    return found
