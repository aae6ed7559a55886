"""bandit: unsafe calls in what runs in the images. Its waivers are in `pyproject.toml`; everything else here has ruff's S rules alone."""

import json
from pathlib import Path
from typing import Any

from scripts.commands import Failed, run
from scripts.scan.environments import installed, pinned
from scripts.scan.reports import Report

FOLDERS = ("operator/src", "service/src", "simulator/src")


def scan(*further: Path) -> Report:
    """Look at the three distributions, and at `further` files."""
    options = ("--configfile=pyproject.toml", "--format=json", "--quiet", "--exit-zero")
    document = json.loads(run([installed("scan") / "bandit", "--recursive", *FOLDERS, *further, *options]))
    return Report(
        scanner=pinned("scan", "bandit"),
        subject=f"{document['metrics']['_totals']['loc']} lines of {', '.join(FOLDERS)}",
        findings=findings(document),
        waived=document["metrics"]["_totals"]["nosec"] + document["metrics"]["_totals"]["skipped_tests"],
    )


def findings(document: dict[str, Any]) -> tuple[str, ...]:
    """Return a line for each finding of bandit's JSON report. Raises Failed if it could not read a file."""
    if document["errors"]:
        raise Failed(f"bandit could not read {', '.join(error['filename'] for error in document['errors'])}")
    return tuple(f"{found['filename']}:{found['line_number']}: {found['test_id']} {found['issue_text']}" for found in document["results"])
