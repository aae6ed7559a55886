"""The commands of docs/ on a real cluster, as somebody who copies them would run them: block after block, page after page.

Each page goes on where the one before has stopped. A block that cannot run here, or that another test runs, says so: tests/docs/pages.py.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.commands import Tools, environment
from scripts.installation import CRD, RELEASE, SYSTEM_NAMESPACE
from tests.cluster.places import ROOT, Caller
from tests.docs.pages import DOCS, Block, commands

# It installs the operator itself: after all others.
pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("emptied")]

PLAIN = "plain-to-operator.md"
WALK = ("installing.md", "api.md", "operations.md", "troubleshooting.md", "reporting-issues.md", PLAIN)
NAMESPACES = (SYSTEM_NAMESPACE, "chatbot-demo", "plain")
CHATBOT = "general-purpose-chatbot"
NEW_KEY = "another-demo-key"
PAGE_SECONDS = 300


@dataclass(frozen=True)
class Reader:
    """Somebody with a checkout, kubectl, helm and a kubeconfig of their own, who types a key where one is asked for."""

    checkout: Path
    variables: dict[str, str]

    def run(self, blocks: Sequence[Block]) -> None:
        """Run the commands as one script; bash says each before it runs it, and ends at the first that fails, which fails the test.

        What the page has left running in the background ends with it, as with a terminal that is closed.
        """
        script = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + "".join(f"# {block.place}\n{block.text}" for block in blocks)
        done = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", script],
            cwd=self.checkout,
            env=self.variables,
            input=NEW_KEY,
            capture_output=True,
            text=True,
            timeout=PAGE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{blocks[0].page.name}: {done.stderr[-4000:]}\n{done.stdout[-4000:]}"


@pytest.fixture(scope="module")
def reader(emptied: None, tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader before the first page; what the pages have made is removed at the end."""
    folder = tmp_path_factory.mktemp("reader")
    checkout = folder / "checkout"
    checkout.mkdir()
    for entry in ("charts", "crds", "deploy", "examples", "scripts", "VERSION"):
        (checkout / entry).symlink_to(ROOT / entry)
    kubeconfig = shutil.copy(tools.kubeconfig, folder / "kubeconfig")
    path = os.pathsep.join([str(tools.kubectl_binary.parent), str(tools.helm_binary.parent), os.environ["PATH"]])
    yield Reader(checkout, environment() | {"PATH": path, "KUBECONFIG": str(kubeconfig), "HOME": str(folder)})
    tools.kubectl("delete", "customresourcedefinition", CRD, "--ignore-not-found", "--timeout=2m")
    tools.helm("uninstall", RELEASE, f"--namespace={SYSTEM_NAMESPACE}", "--ignore-not-found", "--wait")
    tools.kubectl("delete", "namespace", *NAMESPACES, "--ignore-not-found", "--wait=false")


@pytest.mark.parametrize("page", [page for page in WALK if page != PLAIN])
def test_every_command_of_the_page_does_what_it_says(reader: Reader, page: str) -> None:
    reader.run(commands(DOCS / page))


def test_plain_deployment_is_handed_over_without_a_failed_request(reader: Reader, tools: Tools) -> None:
    plain, *hand_over = commands(DOCS / PLAIN)
    reader.run([plain])
    service = tools.kubectl_json("get", "service", CHATBOT, "--namespace=plain")

    with Caller(80, pause_seconds=0.05, host=service["spec"]["clusterIP"]) as caller:
        reader.run(hand_over)

    adopted = tools.kubectl_json("get", "service", CHATBOT, "--namespace=plain")
    assert adopted["metadata"]["uid"] == service["metadata"]["uid"]
    assert adopted["metadata"]["ownerReferences"][0]["name"] == CHATBOT
    assert len(caller.statuses) > 10
    assert set(caller.statuses) == {200}
