"""What the benchmark runs, built once: the control plane and kwok by the devcluster, our own Go programs below .build/bench."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from devcluster import binaries

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
BUILD = ROOT / ".build/bench/operator"
BUILD_SECONDS = 1200.0
NEEDED = ("ip", "setpriv", "taskset", "unshare")


class NotRun(Exception):
    """The benchmark cannot be run here, and why."""


@dataclass(frozen=True)
class Programs:
    """Our own Go programs, and the version of what they are made with."""

    controller: Path
    floor: Path
    stub: Path
    controller_runtime: str


def built() -> Programs:
    """Return the programs that `build` made."""
    folder = BUILD / "bin"
    return Programs(folder / "controller", folder / "floor", folder / "stub", _required("sigs.k8s.io/controller-runtime"))


def build() -> None:
    """Build what is missing or out of date. Raises NotRun."""
    for tool in NEEDED:
        if shutil.which(tool) is None:
            raise NotRun(f"{tool} is not installed (Debian: apt-get install iproute2 util-linux)")
    binaries.require_go()
    binaries.build([*binaries.CONTROL_PLANE, "kube-scheduler", "kwok"])
    folder = BUILD / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = ["go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", folder, "./controller", "./floor", "./stub"]
    try:
        subprocess.run(
            command,
            cwd=HERE / "programs",
            env=os.environ | {"CGO_ENABLED": "0", "GOWORK": "off"},
            check=True,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        raise NotRun(binaries.explain_failure("the Go operator", error.stderr)) from error
    except subprocess.TimeoutExpired as error:
        raise NotRun(f"the Go operator was not built within {BUILD_SECONDS:.0f} s") from error


@cache
def go_version() -> str:
    """Return the compiler's version."""
    return subprocess.run(["go", "env", "GOVERSION"], check=True, capture_output=True, text=True).stdout.strip()


def _required(module: str) -> str:
    found = re.search(rf"{module} v(\S+)", (HERE / "programs/go.mod").read_text())
    return found[1] if found else "?"
