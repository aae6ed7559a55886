"""`make demo` and `make demo-down` as a newcomer types them: an answer on the screen, quick when repeated, nothing left at the end."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster.binaries import binary
from devcluster.certificates import CONTEXT
from devcluster.controlplane import ControlPlane
from devcluster.state import state_folder
from scripts.commands import API_KEY_VARIABLE, Tools
from scripts.installation import CHATBOT, NAMESPACE, RESTRICTED, SECRET, SYSTEM_NAMESPACE
from tests.cluster.leftovers import leftovers
from tests.docs.pages import blocks

# It removes the cluster: after all others.
pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("removed")]

ROOT = Path(__file__).resolve().parents[2]
WARM_SECONDS = 60
COLD_SECONDS = 600


def clean_environment(**variables: str) -> dict[str, str]:
    """Return the environment without what would send the demo to another cluster, another registry or the real API."""
    others = {API_KEY_VARIABLE, "KUBECONFIG", "CONTEXT", "IMAGE_REGISTRY", "VERSION"}
    return {name: value for name, value in os.environ.items() if name not in others} | variables


def demo(verb: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.demo", verb],
        cwd=ROOT,
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        timeout=COLD_SECONDS,
        check=False,
    )


def paste(test: str, *more: str) -> str:
    """Return what the README's block that a test runs prints, and what is typed after it."""
    (block,) = (block for block in blocks(ROOT / "README.md") if test in block.said)
    script = "\n".join((block.text, *more))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def demo_tools() -> Tools:
    return Tools(kubectl_binary=binary("kubectl"), helm_binary=binary("helm"), kubeconfig=str(state_folder() / "kubeconfig"))


@pytest.fixture(scope="module")
def running(devcluster: ControlPlane) -> Iterator[subprocess.CompletedProcess[str]]:
    """The demo, up; down at the end, whatever happened."""
    yield demo("up")
    demo("down")


def test_screen_shows_the_streamed_answer_and_what_to_try_next(running: subprocess.CompletedProcess[str]) -> None:
    assert running.returncode == 0, running.stdout + running.stderr

    screen = running.stdout
    assert f"{API_KEY_VARIABLE} is not set" in screen
    assert "READY 3/3, Ready" in screen
    answer = re.search(r"Chatbot: (.+)\nReady and answered after", screen, flags=re.DOTALL)
    assert answer is not None
    assert len(answer[1]) > 40
    for line in (f"export KUBECONFIG={state_folder()}", f"kubectl scale chatbot/{CHATBOT}", "kubectl describe", "make demo-down"):
        assert line in screen


def test_kubectl_says_three_of_three(running: subprocess.CompletedProcess[str], demo_tools: Tools) -> None:
    line = demo_tools.kubectl("get", "chatbot", CHATBOT, f"--namespace={NAMESPACE}", "--no-headers").split()

    assert line[:3] == [CHATBOT, "3/3", "Ready"]


def test_second_run_takes_seconds_and_replaces_no_pod(running: subprocess.CompletedProcess[str], demo_tools: Tools) -> None:
    everywhere = ("get", "pods", "--all-namespaces", "--output=jsonpath={.items[*].metadata.uid}")
    before = demo_tools.kubectl(*everywhere)

    started = time.monotonic()
    again = demo("up")

    assert again.returncode == 0, again.stdout + again.stderr
    assert time.monotonic() - started < WARM_SECONDS
    assert demo_tools.kubectl(*everywhere) == before


def test_what_the_readme_has_next_works(running: subprocess.CompletedProcess[str]) -> None:
    assert f"chatbotdeployment.chatbot.dev/{CHATBOT} scaled" in paste("test_what_the_readme_has_next_works")


def test_what_use_it_begins_with_makes_the_cluster_and_brings_its_tools(running: subprocess.CompletedProcess[str]) -> None:
    seen = paste("test_what_use_it_begins_with_makes_the_cluster_and_brings_its_tools", "kubectl config current-context", "type -P helm")

    assert seen.splitlines()[-2:] == [CONTEXT, str(binary("helm"))]


def test_both_namespaces_ask_for_the_restricted_standard(running: subprocess.CompletedProcess[str], demo_tools: Tools) -> None:
    labels = {name: demo_tools.kubectl_json("get", "namespace", name)["metadata"]["labels"] for name in (NAMESPACE, SYSTEM_NAMESPACE)}

    assert [name for name, found in labels.items() if not RESTRICTED.items() <= found.items()] == []


def test_key_reaches_the_secret_and_no_screen(running: subprocess.CompletedProcess[str], demo_tools: Tools) -> None:
    """Whatever the API says to what is no key: what matters is where it is seen. The cluster is removed right after."""
    key = "sk-not-a-key"
    with subprocess.Popen(
        [sys.executable, "-m", "scripts.demo", "up"],
        cwd=ROOT,
        env=clean_environment(**{API_KEY_VARIABLE: key}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        screen = ""
        for line in process.stdout:
            screen += line
            if f"{API_KEY_VARIABLE} is set" in line:
                break
        process.terminate()

    secret = json.loads(demo_tools.kubectl("get", "secret", SECRET, f"--namespace={NAMESPACE}", "--output=json"))
    resource = demo_tools.kubectl("get", "chatbot", CHATBOT, f"--namespace={NAMESPACE}", "--output=json")
    assert secret["data"] == {"anthropic-api-key": "c2stbm90LWEta2V5"}
    assert key not in screen
    assert "anthropic-simulator" not in resource


def test_down_leaves_nothing_behind(running: subprocess.CompletedProcess[str]) -> None:
    done = demo("down")

    assert done.returncode == 0, done.stdout + done.stderr
    assert leftovers(state_folder()) == {}


def test_down_without_a_demo_is_no_error() -> None:
    assert demo("down").returncode == 0


def test_unreachable_image_registry_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text("apiVersion: v1\nkind: Config\ncurrent-context: elsewhere\n")

    done = demo("up", KUBECONFIG=str(tmp_path / "kubeconfig"))

    assert done.returncode == 1
    assert done.stderr.startswith("demo: ")
    assert "IMAGE_REGISTRY" in done.stderr
    assert len(done.stderr.splitlines()) == 1
