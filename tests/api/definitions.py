"""Definitions of custom resources, installed as an administrator does it, and served when the test goes on."""

import json
import os
import subprocess
from pathlib import Path

from devcluster.binaries import TOOLS
from devcluster.controlplane import ControlPlane
from tests.waiting import wait_until

CRD = Path(__file__).parents[2] / "crds" / "chatbotdeployments.chatbot.dev.yaml"


def install(plane: ControlPlane, definition: str) -> None:
    """Return once the kind is served. `kubectl wait` gives up on a definition that nobody has looked at yet."""
    plane.kubectl("apply", "--server-side", "--filename=-", input=definition)
    wait_until(lambda: _conditions(plane, definition), lambda found: ("Established", "True") in found, seconds=30)


def monitoring_definition(plural: str) -> str:
    """Return the Prometheus operator's own definition of one of its kinds, from its Go module, which go.sum pins."""
    module = "github.com/prometheus-operator/prometheus-operator"
    done = subprocess.run(
        ["go", "mod", "download", "-json", module],
        cwd=TOOLS / "prometheus-operator",
        env=os.environ | {"GOWORK": "off"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    folder = Path(json.loads(done.stdout)["Dir"]) / "example" / "prometheus-operator-crd"
    return (folder / f"monitoring.coreos.com_{plural}.yaml").read_text()


def _conditions(plane: ControlPlane, definition: str) -> set[tuple[str, str]]:
    [found] = json.loads(plane.kubectl("get", "--filename=-", "--output=json", input=definition))["items"]
    return {(each["type"], each["status"]) for each in found.get("status", {}).get("conditions") or ()}
