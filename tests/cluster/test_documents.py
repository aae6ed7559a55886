"""The commands of the README and of docs/ on a real cluster, as somebody who copies them would run them: block after block.

The README is two walks: a platform engineer's, from the install to the uninstall, and between them an SRE's. The pages of docs/ go on where
these have stopped. A block that cannot run here, or that another test runs, says so: tests/docs/pages.py.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.commands import Tools, environment
from scripts.installation import CHATBOT, CRD, RELEASE, SECRET, SYSTEM_NAMESPACE
from tests.cluster.callers import Caller, Stream
from tests.cluster.events import followed, ready_counts
from tests.cluster.places import ROOT, Manifest, Place, behave
from tests.docs.pages import DOCS, Block, commands
from tests.waiting import wait_until

# It installs the operator itself: after all others.
pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("emptied")]

README = ROOT / "README.md"
USE, LOOK_AFTER, REMOVE = (commands(README, section=name) for name in ("Use it", "Look after it", "Upgrade and uninstall"))
PLAIN = DOCS / "plain-to-operator.md"
WALK = [DOCS / f"{name}.md" for name in ("api", "operations", "troubleshooting", "reporting-issues")]
COMMANDS = [*USE, *LOOK_AFTER, *REMOVE, *(block for page in (*WALK, PLAIN) for block in commands(page))]
NAMESPACE = "chatbot-demo"
NEW_KEY = "another-demo-key"
SCRIPT_SECONDS = 300
PODS, OPERATORS = 3, 2
STREAMS, CALLERS = 12, 6
LONG_ANSWER: Manifest = {"events": 300, "pace": "100ms"}
REPLACED_SECONDS = 90


@dataclass(frozen=True)
class Reader:
    """Somebody with a checkout, kubectl, helm and a kubeconfig of their own, who types a key where one is asked for."""

    checkout: Path
    variables: dict[str, str]

    def run(self, *blocks: Block) -> str:
        """Run the commands as one script and return what is seen of it: bash says each before it runs it.

        It ends at the first that fails, which fails the test. What is left running in the background ends with it, as with a terminal that
        is closed.
        """
        script = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + "".join(f"# {block.place}\n{block.text}" for block in blocks)
        done = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", script],
            cwd=self.checkout,
            env=self.variables,
            input=NEW_KEY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SCRIPT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{blocks[0].place}: {done.stdout[-8000:]}"
        return done.stdout


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
    tools.kubectl("delete", "namespace", SYSTEM_NAMESPACE, NAMESPACE, "plain", "--ignore-not-found", "--wait=false")


@pytest.fixture(scope="module")
def chatting(reader: Reader, tools: Tools) -> Place:
    """What the README's first commands make: the operator, and a chat service that is ready."""
    install, make, *_ = USE
    seen = reader.run(install) + reader.run(make)
    assert re.search(rf"^{CHATBOT} +{PODS}/{PODS} +Ready ", seen, flags=re.MULTILINE)
    return Place(tools, NAMESPACE, CHATBOT)


def address(place: Place) -> str:
    """Return the address of the chatbot's Service."""
    address: str = place.get("service", CHATBOT)["spec"]["clusterIP"]
    return address


@contextmanager
def long_answers(tools: Tools) -> Iterator[None]:
    """Have answers that begin in the block take half a minute, about as long as it takes to evict every pod."""
    behave(tools, namespace=NAMESPACE, **LONG_ANSWER)
    yield
    behave(tools, namespace=NAMESPACE)


def test_platform_engineer_explains_asks_scales_breaks_and_mends_the_key(reader: Reader, chatting: Place) -> None:
    _, _, explain, ask, scale, break_key, mend_key = USE

    assert "The API that the pods talk to." in reader.run(explain)
    assert "event: done" in reader.run(ask)
    assert "condition met" in reader.run(scale)
    chatting.wait(f"jsonpath={{.status.ready}}={PODS}/{PODS}")
    pods = chatting.ready_pods()
    with Caller(80, pause_seconds=0.1, host=address(chatting)) as caller:
        assert "KeyRejected" in reader.run(break_key)
        assert chatting.resource()["status"]["state"] == "Degraded"
        reader.run(mend_key)
    assert chatting.ready_pods() == pods
    assert "annotations" not in chatting.get("secret", SECRET)["metadata"]
    assert len(caller.statuses) > 10
    assert set(caller.statuses) == {200}


def test_sre_sees_targets_evicts_every_pod_under_load_and_takes_a_profile(reader: Reader, chatting: Place, tmp_path: Path) -> None:
    metrics, evict, profile = LOOK_AFTER
    host, before = address(chatting), chatting.ready_pods()

    targets = reader.run(metrics)
    with ExitStack() as load:
        with long_answers(chatting.tools):
            streams = [load.enter_context(Stream(80, host=host)) for _ in range(STREAMS)]
        callers = [load.enter_context(Caller(80, pause_seconds=0.1, host=host, keeps_alive=number % 2 == 0)) for number in range(CALLERS)]
        with followed(chatting, tmp_path / "events"):
            evicted = reader.run(evict)
            wait_until(lambda: len(set(chatting.ready_pods()) - {*before}) == PODS, what="every pod replaced", seconds=REPLACED_SECONDS)
        reader.run(profile)

    counts = ready_counts(tmp_path / "events")
    assert len(before) == PODS
    assert [int(series) > 1 for series in re.findall(r"^\d+$", targets, flags=re.MULTILINE)] == [True] * (PODS + OPERATORS)
    assert "disruption budget" in evicted
    assert min(counts[counts.index(PODS) :]) == PODS - 1
    assert [stream.failure for stream in streams if stream.failure] == []
    assert {stream.pieces for stream in streams} == {LONG_ANSWER["events"]}
    assert min(len(caller.statuses) for caller in callers) > 10
    assert {status for caller in callers for status in caller.statuses} == {200}
    assert re.search(r"^chatbot-service:\S+;.* \d+$", (reader.checkout / "profile.txt").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("page", WALK, ids=lambda page: page.name)
def test_every_command_of_the_page_does_what_it_says(reader: Reader, chatting: Place, page: Path) -> None:
    reader.run(*commands(page))


def test_plain_deployment_is_handed_over_without_a_failed_request(reader: Reader, chatting: Place) -> None:
    plain, *hand_over = commands(PLAIN)
    reader.run(plain)
    place = Place(chatting.tools, "plain", CHATBOT)
    service = place.get("service", CHATBOT)

    with Caller(80, pause_seconds=0.05, host=address(place)) as caller:
        reader.run(*hand_over)

    adopted = place.get("service", CHATBOT)
    assert adopted["metadata"]["uid"] == service["metadata"]["uid"]
    assert adopted["metadata"]["ownerReferences"][0]["name"] == CHATBOT
    assert len(caller.statuses) > 10
    assert set(caller.statuses) == {200}


def test_platform_engineer_upgrades_uninstalls_and_removes(reader: Reader, chatting: Place) -> None:
    upgrade, uninstall, remove = REMOVE
    chatting.kubectl("scale", f"chatbot/{CHATBOT}", "--replicas=2")
    chatting.wait("jsonpath={.status.ready}=2/2")

    assert "has been upgraded" in reader.run(upgrade)
    assert chatting.replicas() == 2
    pods = chatting.ready_pods()
    assert CRD in reader.run(uninstall)
    assert chatting.ready_pods() == pods
    with Caller(80, host=address(chatting)) as caller:
        wait_until(lambda: len(caller.statuses) > 1, what="an answer without an operator", seconds=30)
    assert set(caller.statuses) == {200}
    reader.run(remove)

    assert chatting.tools.kubectl("get", "customresourcedefinition", CRD, "--ignore-not-found") == ""
    assert chatting.tools.kubectl("get", "namespace", NAMESPACE, SYSTEM_NAMESPACE, "--ignore-not-found") == ""
