"""Where each candidate comes from: built or installed below .build/bench, at pinned versions, once. Raises NotRun with the reason."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
BUILD = ROOT / ".build/bench"
SERVICE_LOCK = ROOT / "requirements/service.txt"
LITELLM_LOCK = HERE / "litellm/requirements.txt"
INSTALL_SECONDS = 900.0
_UV = Path(sys.executable).with_name("uv")


class NotRun(Exception):
    """A candidate cannot be had here, and why."""


@dataclass(frozen=True)
class Binaries:
    """Our own Go programs."""

    load: Path
    upstream: Path
    proxy: Path


def build_binaries() -> Binaries:
    """Return the generator, the upstream and the proxy, built from the standard library alone."""
    if shutil.which("go") is None:
        raise NotRun("go is not installed: the load generator and the upstream are Go programs")
    folder = BUILD / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    _run(["go", "build", "-o", folder, "./..."], cwd=HERE / "loopback")
    return Binaries(folder / "load", folder / "upstream", folder / "proxy")


def install_service() -> Path:
    """Return the programs' folder of an environment that holds what the service's image holds: its lock, and this tree's service."""
    folder = _environment("service", SERVICE_LOCK)
    wheels = BUILD / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    _run([_UV, "build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", wheels, ROOT / "service"])
    wheel = next(wheels.glob("*.whl"))
    _run([*_pip(folder), "--no-deps", "--reinstall", "--offline", wheel])
    return folder / "bin"


def install_litellm() -> Path:
    """Return the programs' folder of LiteLLM's own environment."""
    return _environment("litellm", LITELLM_LOCK) / "bin"


def install_portkey() -> Path:
    """Return the script that Portkey's gateway starts by."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise NotRun(f"{program} is not installed (Debian: apt-get install nodejs npm)")
    wanted = HERE / "portkey/package.json"
    folder = BUILD / "portkey"
    if not _is_current(folder, wanted):
        folder.mkdir(parents=True)
        shutil.copy(wanted, folder)
        _run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--omit=dev"], cwd=folder)
        _note(folder, wanted)
    return folder / "node_modules/@portkey-ai/gateway/build/start-server.js"


def find_nginx() -> str:
    """Return the program; nothing is installed outside this folder."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise NotRun("nginx is not installed (Debian: apt-get install nginx-light)")
    return found


def _environment(name: str, locked: Path) -> Path:
    folder = BUILD / name
    if not _is_current(folder, locked):
        _run([_UV, "venv", "--quiet", "--python", sys.executable, folder])
        _run([*_pip(folder), "--require-hashes", "--requirement", locked])
        _note(folder, locked)
    return folder


def _pip(folder: Path) -> list[str | Path]:
    return [_UV, "pip", "install", "--quiet", "--compile-bytecode", "--python", folder / "bin/python"]


def _is_current(folder: Path, wanted: Path) -> bool:
    """Tell whether `folder` was made of `wanted` as it is now; removes it otherwise."""
    record = folder / "made-of"
    if record.exists() and record.read_text() == _digest(wanted):
        return True
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _note(folder: Path, wanted: Path) -> None:
    (folder / "made-of").write_text(_digest(wanted))


def _digest(wanted: Path) -> str:
    return hashlib.sha256(wanted.read_bytes()).hexdigest()


def _run(command: Sequence[str | Path], *, cwd: Path = ROOT) -> None:
    try:
        subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NotRun(f"{Path(command[0]).name} {command[1]} failed: {last}") from error
    except subprocess.TimeoutExpired as error:
        raise NotRun(f"{Path(command[0]).name} {command[1]} took longer than {INSTALL_SECONDS:.0f} s") from error
