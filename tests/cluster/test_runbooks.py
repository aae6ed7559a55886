"""The commands of the runbooks on a real cluster, as somebody whom an alert has woken would run them."""

import os
import subprocess
from collections.abc import Iterator, Mapping

import pytest

from scripts.commands import Tools
from scripts.installation import SYSTEM_NAMESPACE
from tests.cluster.places import ROOT, Place, new_place
from tests.docs.pages import commands

pytestmark = pytest.mark.cluster

COMMANDS = [block for file in sorted((ROOT / "docs" / "runbooks").glob("*.md")) for block in commands(file)]
KEY = "demo"
HARMLESS = ("Warning: ", "No resources found")
COMMAND_SECONDS = 30


@pytest.fixture(scope="module")
def place(installed: Tools) -> Iterator[Place]:
    """A chatbot that serves, as the one of an alert."""
    with new_place(installed, "runbooks") as place:
        place.secret("chatbot-secrets", KEY)
        place.apply()
        place.wait_ready()
        yield place


def test_every_command_of_the_runbooks_works(place: Place) -> None:
    """Those that look, and the one block that mends; what only one pod or node of many has is named in words."""
    values = {
        "NAMESPACE": place.namespace,
        "CHATBOT": place.chatbot,
        "POD": place.ready_pods()[0],
        "OPERATOR_NAMESPACE": SYSTEM_NAMESPACE,
    }
    lines = sorted({line for block in COMMANDS for line in block.text.replace("\\\n", " ").splitlines()})

    failed = {line: said for line in lines if (said := complaint(line, place.tools, values))}

    assert len(lines) > 20
    assert failed == {}


def complaint(command: str, tools: Tools, values: Mapping[str, str]) -> str:
    """Return what a command complains of, by its error output or its exit code; one that finds nothing or only warns does not complain."""
    path = f"{tools.kubectl_binary.parent}:{os.environ['PATH']}"
    environment = os.environ | values | {"KUBECONFIG": tools.kubeconfig, "PATH": path}
    done = subprocess.run(
        ["bash", "-uc", command], env=environment, input=KEY, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
    )
    errors = [line for line in done.stderr.splitlines() if not line.startswith(HARMLESS)]
    return f"{done.returncode}: {errors}" if done.returncode or errors else ""
