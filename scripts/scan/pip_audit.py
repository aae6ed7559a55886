"""pip-audit: known vulnerabilities of the locked Python packages, by the index's own data.

It calls a package that it has no data for skipped, and the whole clean; here a skipped package is one that was not looked at.
"""

import json
import subprocess
from typing import Any

from scripts.commands import ROOT, environment, last_line
from scripts.scan.environments import installed, pinned
from scripts.scan.reports import Report

LOCK = "requirements/dev.txt"  # the images' locks are constrained by it: the same versions
SECONDS = 600


def scan() -> Report:
    """Look at every package that the images and the tests install."""
    program = installed("scan") / "pip-audit"
    options = ("--requirement", LOCK, "--disable-pip", "--require-hashes", "--format=json", "--progress-spinner=off", "--timeout=15")
    done = subprocess.run([program, *options], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=SECONDS, check=False)
    return report(done.stdout, done.stderr)


def report(output: str, errors: str) -> Report:
    """Return what pip-audit's JSON report, or its failure to write one, comes to."""
    scanner = pinned("scan", "pip-audit")
    if not output.strip():
        return Report(scanner=scanner, subject=LOCK, not_run=last_line(errors) or "it ended without a word")
    packages: list[dict[str, Any]] = json.loads(output)["dependencies"]
    skipped = [package for package in packages if "skip_reason" in package]
    found = [f"{package['name']} {package['version']}: {flaw['id']}" for package in packages for flaw in package.get("vulns", ())]
    return Report(
        scanner=scanner, subject=f"{len(packages)} packages of {LOCK}", findings=tuple(found), not_run=_unknown(skipped, len(packages))
    )


def _unknown(skipped: list[dict[str, Any]], of: int) -> str | None:
    if not skipped:
        return None
    return f"no vulnerability data for {len(skipped)} of {of}: {skipped[0]['skip_reason']}"
