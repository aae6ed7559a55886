"""gitleaks: keys and passwords in every commit and in the files as they are now. What it passes over is in `.gitleaks.toml`."""

import json
from pathlib import Path
from typing import Any

from devcluster import versions
from devcluster.binaries import binary
from scripts.commands import ROOT, run
from scripts.scan.reports import Report

CONFIGURATION = ROOT / ".gitleaks.toml"
OPTIONS = (f"--config={CONFIGURATION}", "--report-format=json", "--report-path=-", "--redact", "--no-banner", "--log-level=error")


def scan(root: Path = ROOT) -> Report:
    """Look at the history and the working tree of a repository."""
    found = [*leaks("git", root), *leaks("dir", root)]
    return Report(
        scanner=f"gitleaks {versions.GITLEAKS}", subject="every commit, and the working tree", findings=tuple(dict.fromkeys(found))
    )


def leaks(source: str, folder: Path) -> list[str]:
    """Return what is found in a folder's commits (`git`) or files (`dir`), without the secret itself."""
    document = json.loads(run([binary("gitleaks"), source, folder, *OPTIONS, "--exit-code=0"]))
    return [described(leak, folder) for leak in document]


def described(leak: dict[str, Any], folder: Path) -> str:
    """Return where a secret stands and which rule says so."""
    commit = f" in commit {leak['Commit'][:12]}" if leak["Commit"] else ""
    return f"{leak['File'].removeprefix(f'{folder}/')}:{leak['StartLine']}{commit}: {leak['RuleID']}"
