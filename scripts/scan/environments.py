"""Scanners from the Python index: each in an environment of its own below `.build/scan`, exactly as its lock in `requirements/` says."""

import sys
from pathlib import Path

from scripts.commands import ROOT, run

ENVIRONMENTS = ROOT / ".build/scan"
UV = ROOT / ".venv/bin/uv"


def lock(name: str) -> Path:
    """Return the file that pins the environment `name`."""
    return ROOT / f"requirements/{name}.txt"


def installed(name: str) -> Path:
    """Return the folder of the programs that `requirements/<name>.txt` pins, installing what is missing. Raises Failed."""
    folder = ENVIRONMENTS / name
    python = folder / "bin/python"
    if not python.exists():
        run([UV, "venv", "--quiet", f"--python={sys.executable}", folder])
    run([UV, "pip", "sync", "--quiet", f"--python={python}", "--require-hashes", lock(name)])
    return folder / "bin"


def pinned(name: str, program: str) -> str:
    """Return `program` with the version that the lock pins, as a report calls it."""
    pins = dict(line.split()[0].split("==") for line in lock(name).read_text(encoding="utf-8").splitlines() if "==" in line.split("#")[0])
    return f"{program} {pins[program]}"
