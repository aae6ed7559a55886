"""Definitions of custom resources, installed as an administrator does it, and served when the test goes on."""

import json
from pathlib import Path

from devcluster.controlplane import ControlPlane
from tests.waiting import wait_until

CRD = Path(__file__).parents[2] / "crds" / "chatbotdeployments.chatbot.dev.yaml"


def install(plane: ControlPlane, definition: str) -> None:
    """Return once the kind is served. `kubectl wait` gives up on a definition that nobody has looked at yet."""
    plane.kubectl("apply", "--server-side", "--filename=-", input=definition)
    wait_until(lambda: _conditions(plane, definition), lambda found: ("Established", "True") in found, seconds=30)


def _conditions(plane: ControlPlane, definition: str) -> set[tuple[str, str]]:
    [found] = json.loads(plane.kubectl("get", "--filename=-", "--output=json", input=definition))["items"]
    return {(each["type"], each["status"]) for each in found.get("status", {}).get("conditions") or ()}
