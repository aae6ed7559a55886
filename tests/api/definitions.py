"""Definitions of custom resources, installed as an administrator does it, and served when the test goes on."""

import json
import os
import subprocess
from functools import cache
from pathlib import Path

from devcluster.binaries import require_go
from devcluster.controlplane import ControlPlane
from tests.waiting import wait_until

CRD = Path(__file__).parents[2] / "crds" / "chatbotdeployments.chatbot.dev.yaml"


def install(plane: ControlPlane, definition: str) -> None:
    """Return once the kind is served. `kubectl wait` gives up on a definition that nobody has looked at yet."""
    plane.kubectl("apply", "--server-side", "--filename=-", input=definition)
    wait_until(lambda: _conditions(plane, definition), lambda found: ("Established", "True") in found, seconds=30)


def monitoring_definition(plural: str) -> str:
    """Return the Prometheus operator's own definition of one of its kinds."""
    return (_monitoring_module() / "example" / "prometheus-operator-crd" / f"monitoring.coreos.com_{plural}.yaml").read_text()


@cache
def _monitoring_module() -> Path:
    """Return the folder of the Prometheus operator's Go module, which go.sum pins; Go fetches it when it is not there yet."""
    require_go()
    done = subprocess.run(
        ["go", "mod", "download", "-json", "github.com/prometheus-operator/prometheus-operator"],
        cwd=Path(__file__).parent / "prometheus-operator",
        env=os.environ | {"GOWORK": "off"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(json.loads(done.stdout)["Dir"])


def _conditions(plane: ControlPlane, definition: str) -> set[tuple[str, str]]:
    [found] = json.loads(plane.kubectl("get", "--filename=-", "--output=json", input=definition))["items"]
    return {(each["type"], each["status"]) for each in found.get("status", {}).get("conditions") or ()}
