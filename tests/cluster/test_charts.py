"""The two charts through the life of their releases: installed, upgraded, tested, uninstalled, taken over, confined to a namespace.

One walk: each test goes on where the one before it has stopped.
"""

import io
import json
import shlex
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.commands import Failed, Tools
from scripts.installation import CRD, SYSTEM_NAMESPACE
from tests.cluster.places import CHATBOT, ROOT, SMALL, Place, new_place
from tests.docs.pages import DOCS, blocks
from tests.waiting import wait_until

# It removes the operator and its definition: after all others.
pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("disturbed")]

CHARTS = ROOT / "charts"
EARLIER = "0.0.1"
FIRST, SECOND = "chatbot-operator", "successor"


@dataclass(frozen=True)
class Walk:
    """The operator's namespace, a chat service's, and the answers of helm on the way."""

    system: Place
    place: Place
    values: Path

    def helm(self, verb: str, *arguments: str, namespace: str) -> str:
        return self.place.tools.helm(verb, *arguments, f"--namespace={namespace}")

    def operator(self, verb: str, *arguments: str) -> str:
        return self.helm(verb, *arguments, namespace=self.system.namespace)

    def chatbot(self, verb: str, *arguments: str) -> str:
        return self.helm(verb, *arguments, namespace=self.place.namespace)

    def operator_chart(self) -> str:
        """Return the name and version of the chart that the operator's release is of."""
        (release,) = json.loads(self.operator("list", "--output=json"))
        chart: str = release["chart"]
        return chart

    def uids(self) -> set[str]:
        """Return which pods there are."""
        return {pod["metadata"]["uid"] for pod in self.place.pods()}

    def ask(self) -> str:
        """Have the chart's own test ask a question; return what it and Helm say."""
        return self.chatbot("test", CHATBOT, "--logs")

    def scale(self, replicas: int) -> None:
        """Scale the chat service as a person would, and wait until it is so."""
        self.place.kubectl("scale", f"chatbot/{CHATBOT}", f"--replicas={replicas}")
        wait_until(lambda: len(self.place.ready_pods()) == replicas == self.place.replicas(), what=f"{replicas} pods", seconds=60)


def earlier_charts(tools: Tools, folder: Path) -> Path:
    """Return the folder of the last release's charts; before there is one, of today's under an earlier version."""
    described = subprocess.run(["git", "describe", "--tags", "--abbrev=0", "HEAD^"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tag := described.stdout.strip():
        archive = subprocess.run(["git", "archive", tag, "charts"], cwd=ROOT, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as charts:
            charts.extractall(folder, filter="data")
        return folder / "charts"
    for chart in ("chatbot-operator", "chatbot"):
        tools.helm("package", str(CHARTS / chart), f"--version={EARLIER}", f"--destination={folder}")
        (folder / f"{chart}-{EARLIER}.tgz").rename(folder / chart)
    return folder


@pytest.fixture(scope="module")
def upgraded(emptied: None, tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """Both charts installed as an earlier version, the chat service scaled by hand, both upgraded to today's, it with another value."""
    folder = tmp_path_factory.mktemp("charts")
    earlier, version = earlier_charts(tools, folder), (ROOT / "VERSION").read_text().strip()
    values = folder / "values.json"
    with new_place(tools, "charts-system") as system, new_place(tools, "charts") as place:
        simulator = (ROOT / "examples" / "simulator.yaml").read_text().replace("chatbot-demo", place.namespace)
        upstream = {"baseURL": f"http://anthropic-simulator.{place.namespace}.svc:8000"}
        spec = {name: value for name, value in SMALL.items() if name != "replicas"}
        values.write_text(json.dumps(spec | {"upstream": upstream, "clientAuth": {"mode": "Token"}}))
        walk = Walk(system, place, values)
        place.kubectl("apply", "--server-side", "--filename=-", stdin=simulator)
        place.secret("chatbot-secrets", "demo")
        images = f"--set=image.tag={version},serviceImage.tag={version}"
        walk.operator("install", FIRST, str(earlier / "chatbot-operator"), images, "--wait", "--timeout=2m")
        walk.chatbot("install", CHATBOT, str(earlier / "chatbot"), f"--values={values}", "--wait", "--timeout=2m")
        walk.scale(2)
        walk.operator("upgrade", FIRST, str(CHARTS / "chatbot-operator"), "--wait", "--timeout=2m")
        another = "--set=model.maxTokens=512"
        walk.chatbot("upgrade", CHATBOT, str(CHARTS / "chatbot"), f"--values={values}", another, "--wait", "--timeout=2m")
        yield walk
        for release in (FIRST, SECOND):
            walk.operator("uninstall", release, "--ignore-not-found", "--wait")
    tools.kubectl("delete", "customresourcedefinition", CRD, "--ignore-not-found")


@pytest.fixture(scope="module")
def uninstalled(upgraded: Walk) -> tuple[str, set[str]]:
    """What helm says when the operator is uninstalled, and the chat pods of before."""
    pods = upgraded.uids()
    return upgraded.operator("uninstall", FIRST, "--wait"), pods


@pytest.fixture(scope="module")
def taken_over(upgraded: Walk, uninstalled: tuple[str, set[str]]) -> Walk:
    """The operator, installed anew under another name."""
    upgraded.operator("install", SECOND, str(CHARTS / "chatbot-operator"), "--take-ownership", "--wait", "--timeout=2m")
    return upgraded


def test_what_kubectl_scaled_survives_an_upgrade(upgraded: Walk) -> None:
    version = (ROOT / "VERSION").read_text().strip()

    charts = {release["chart"] for run in (upgraded.operator, upgraded.chatbot) for release in json.loads(run("list", "--output=json"))}
    assert charts == {f"chatbot-operator-{version}", f"chatbot-{version}"}
    assert upgraded.place.resource()["metadata"]["labels"]["helm.sh/chart"] == f"chatbot-{version}"
    assert upgraded.place.resource()["spec"]["model"]["maxTokens"] == 512
    assert upgraded.place.replicas() == upgraded.place.resource()["spec"]["replicas"] == 2


def test_rollback_brings_the_earlier_operator_and_definition_back_and_replaces_no_chat_pod(upgraded: Walk) -> None:
    (block,) = (block for block in blocks(DOCS / "operations.md") if "test_rollback_" in block.said)
    upgraded_chart, pods = upgraded.operator_chart(), upgraded.uids()

    upgraded.place.tools.helm(*shlex.split(block.text.replace(SYSTEM_NAMESPACE, upgraded.system.namespace))[1:])

    definition = upgraded.system.get("customresourcedefinition", CRD)
    assert definition["metadata"]["labels"]["helm.sh/chart"] == upgraded.operator_chart() != upgraded_chart
    assert upgraded.uids() == pods
    assert upgraded.place.replicas() == 2
    upgraded.operator("upgrade", FIRST, str(CHARTS / "chatbot-operator"))
    assert upgraded.operator_chart() == upgraded_chart


def test_helm_test_asks_a_question_through_the_service_with_the_client_s_token(upgraded: Walk) -> None:
    said = upgraded.ask()

    assert "Phase:          Succeeded" in said
    assert "Say hello." in said


def test_uninstall_keeps_the_definition_and_the_chat_services_and_says_so(upgraded: Walk, uninstalled: tuple[str, set[str]]) -> None:
    said, pods = uninstalled

    assert "were kept due to the resource policy" in said
    assert f"[CustomResourceDefinition] {CRD}" in said
    assert upgraded.uids() == pods
    assert "Say hello." in upgraded.ask()


def test_release_of_another_name_is_told_that_it_must_take_over(upgraded: Walk, uninstalled: tuple[str, set[str]]) -> None:
    with pytest.raises(Failed, match=f"{CRD}.*exists and cannot be imported.*{SECOND}"):
        upgraded.operator("install", SECOND, str(CHARTS / "chatbot-operator"))


def test_release_that_takes_over_goes_on_with_the_same_pods(taken_over: Walk, uninstalled: tuple[str, set[str]]) -> None:
    taken_over.scale(3)

    assert taken_over.uids() > uninstalled[1]


def test_listed_namespaces_are_looked_after_with_roles_alone(taken_over: Walk, tools: Tools) -> None:
    system, listed = taken_over.system.namespace, taken_over.place.namespace
    confined = (f"--set=watchNamespaces={{{listed}}}", "--wait", "--timeout=2m")
    taken_over.operator("upgrade", SECOND, str(CHARTS / "chatbot-operator"), *confined)

    with new_place(tools, "charts-elsewhere") as elsewhere:
        elsewhere.apply()
        taken_over.scale(1)
        ours = (f"--selector=app.kubernetes.io/instance={SECOND}", "--output=name")
        assert elsewhere.resource()["status"]["observedGeneration"] == -1
        assert tools.kubectl("get", "clusterrolebindings", *ours) == ""
        assert tools.kubectl("get", "roles", f"--namespace={listed}", *ours) != ""
        user = f"system:serviceaccount:{system}:{SECOND}-chatbot-operator"
        with pytest.raises(Failed, match=r": no$"):
            elsewhere.kubectl("auth", "can-i", "list", "chatbotdeployments.chatbot.dev", f"--as={user}")
