"""A network of the benchmark's own: kwok's pods have addresses there that this machine answers for, and nobody else sees them.

The namespace goes with the last process in it, so nothing of this can be left behind, and no port or address can be taken.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import NoReturn

from bench.operator.installed import NotRun

PODS = "10.213.0.0/16"
_MARK = "BENCH_OPERATOR_NETWORK"


def inside() -> bool:
    """Tell whether this process is in a network of its own."""
    return _MARK in os.environ


def enter(module: str, arguments: Sequence[str]) -> NoReturn:
    """Replace this process by `module` in a network of its own; it may need no root where users may make namespaces."""
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = ["unshare", "--net", *root]
    probe = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        raise NotRun(f"a network namespace is needed: run it as root ({probe.stderr.strip()})")
    os.execvpe("unshare", [*command, sys.executable, "-m", module, *arguments], {**os.environ, _MARK: "own"})  # noqa: S606


def prepare() -> None:
    """Bring the loopback up, with every pod's address on it."""
    for arguments in (("link", "set", "lo", "up"), ("route", "replace", "local", PODS, "dev", "lo")):
        finished = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
        if finished.returncode:
            raise NotRun(f"ip {' '.join(arguments)}: {finished.stderr.strip()}")
