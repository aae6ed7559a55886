"""checkov: the posture of the Dockerfiles, the operator and the chat pods. Its waivers are in `.checkov.yaml`.

The chat pods are those of the plain manifest, which comes from what the operator makes. `helm test` pods and the simulator serve nobody.
"""

import json
from pathlib import Path
from typing import Any

from devcluster.binaries import binary
from scripts.commands import ROOT, Failed, run
from scripts.scan.environments import ENVIRONMENTS, installed, pinned
from scripts.scan.reports import Report

DOCKERFILES = ("Dockerfile.operator", "Dockerfile.service", "Dockerfile.simulator")
MANIFESTS = ("deploy/k8s-deployment.yaml",)
CHART = "chatbot-operator"


def scan(*further: Path) -> Report:
    """Look at everything that says how a container runs, and at `further` files."""
    files = [*DOCKERFILES, *MANIFESTS, rendered().relative_to(ROOT), *further]
    options = ["--config-file=.checkov.yaml", *(f"--file={file}" for file in files)]
    document = json.loads(run([installed("checkov") / "checkov", *options, "--output=json", "--soft-fail"]))
    subject = "Dockerfiles, the operator's chart, the plain manifest"
    return Report(scanner=pinned("checkov", "checkov"), subject=subject, findings=findings(document))


def rendered() -> Path:
    """Write what the operator's chart renders by default, and return where."""
    path = ENVIRONMENTS / f"rendered/{CHART}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(run([binary("helm"), "template", CHART, f"charts/{CHART}", "--namespace=chatbot-system", "--skip-tests"]))
    return path


def findings(document: dict[str, Any] | list[dict[str, Any]]) -> tuple[str, ...]:
    """Return a line for each failed check of checkov's JSON report. Raises Failed if a file could not be read, or none was looked at."""
    parts = document if isinstance(document, list) else [document]
    if not any(part.get("summary", {}).get("passed") for part in parts):
        raise Failed("checkov looked at nothing")
    if unread := [file for part in parts for file in part["results"].get("parsing_errors", ())]:
        raise Failed(f"checkov could not read {', '.join(unread)}")
    failed = (check for part in parts for check in part["results"]["failed_checks"])
    return tuple(f"{check['file_path'].lstrip('/')}: {check['resource']}: {check['check_id']} {check['check_name']}" for check in failed)
