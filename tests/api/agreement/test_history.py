"""The whole life of a resource under a running operator: nobody who watches is told too early that it is done, or that it failed."""

import json
import subprocess
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from chatbot_operator.resource import Manifest
from devcluster import binaries
from devcluster.controlplane import ControlPlane
from tests.api.agreement.health import health
from tests.api.agreement.waiting import PATIENT_SECONDS, Helm, ended, holds
from tests.api.operator_process import Namespace, grant, start_operator
from tests.api.pods import run_until_ready
from tests.waiting import wait_until

pytestmark = pytest.mark.api

QUICK: dict[str, Any] = {"replicas": 2, "rollout": {"minReadySeconds": 0}}
EDITED = QUICK | {"logging": {"level": "debug"}}


@pytest.fixture(scope="module")
def team(control_plane_with_crd: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """A namespace that an operator watches."""
    team, directory = Namespace(control_plane_with_crd, f"history-{uuid.uuid4().hex[:6]}"), tmp_path_factory.mktemp("operator")
    team.plane.kubectl("create", "namespace", team.name)
    with start_operator(grant(team.plane, team.name, directory), directory):
        yield team
    team.plane.kubectl("delete", "namespace", team.name, "--wait=false")


@contextmanager
def helm_waits(helm: Helm, name: str, *, spec: dict[str, Any]) -> Iterator[None]:
    """Run Helm beside the block; it must end well once the block has."""
    command = helm.command(name, spec=spec, seconds=PATIENT_SECONDS)
    with subprocess.Popen(command, env=helm.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield
        said = process.communicate(timeout=2 * PATIENT_SECONDS)[1]
    assert ended(process.returncode, said) == "deployed", said


@contextmanager
def recorded(team: Namespace, file: Path) -> Iterator[None]:
    """Write down every version of every ChatbotDeployment of the namespace, as `kubectl get --watch` shows it."""
    kubectl = [
        str(binaries.binary("kubectl")),
        f"--kubeconfig={team.plane.kubeconfig}",
        f"--namespace={team.name}",
        f"--cache-dir={file}.cache",
    ]
    with (
        file.open("wb") as output,
        subprocess.Popen([*kubectl, "get", "chatbotdeployments", "--watch", "--output=json"], stdout=output) as process,
    ):
        try:
            yield
            newest = {
                each["metadata"]["resourceVersion"]
                for each in json.loads(team.kubectl("get", "chatbotdeployments", "--output=json"))["items"]
            }
            wait_until(lambda: {version["metadata"]["resourceVersion"] for version in versions(file)}, newest.issubset)
        finally:
            process.kill()


def versions(file: Path) -> list[Manifest]:
    """Return what was written down so far."""
    decoder, text, found = json.JSONDecoder(), file.read_text(), []
    while text := text.lstrip():
        try:
            version, end = decoder.raw_decode(text)
        except ValueError:  # half a version
            break
        found.append(version)
        text = text[end:]
    return found


def roll_out(team: Namespace, helm: Helm, *, spec: dict[str, Any], generation: int) -> None:
    """Have Helm bring a generation of `bot` and wait for it, while its pods turn ready."""
    with helm_waits(helm, "bot", spec=spec):
        wait_until(lambda: team.get("chatbot", "bot"), lambda bot: bot and bot["metadata"]["generation"] == generation)
        run_until_ready(team, "bot")


def changes(words: Iterable[str]) -> list[str]:
    """Return the words without those that repeat the one before."""
    return [word for word, _ in groupby(words)]


def test_nobody_is_told_too_early(team: Namespace, tmp_path: Path) -> None:
    helm, file = Helm(team, tmp_path), tmp_path / "versions.json"
    team.kubectl("create", "deployment", "taken", "--image=someone:else")

    with recorded(team, file):
        roll_out(team, helm, spec=QUICK, generation=1)
        roll_out(team, helm, spec=EDITED, generation=2)
        team.kubectl("scale", "chatbot/bot", "--replicas=0")
        wait_until(lambda: holds(team, "bot", "Ready"))
        assert helm.waits("taken", spec=QUICK, seconds=PATIENT_SECONDS) == "failed"

    with health() as both:
        verdicts = [(version, both.verdict(version)) for version in versions(file)]
    bot = [verdict for version, verdict in verdicts if version["metadata"]["name"] == "bot"]
    taken = [verdict for version, verdict in verdicts if version["metadata"]["name"] == "taken"]
    assert changes(verdict.kstatus for verdict in bot) == ["InProgress", "Current"] * 3
    assert changes(verdict.argo for verdict in bot) == ["Progressing", "Healthy"] * 3
    assert changes(verdict.kstatus for verdict in taken) == ["InProgress", "Failed"]
    for version, verdict in verdicts:
        counts = {version["status"].get(count) for count in ("replicas", "updatedReplicas", "readyReplicas")}
        assert verdict.kstatus != "Current" or counts == {version["spec"]["replicas"]}, version


@pytest.fixture
def node(team: Namespace) -> Iterator[str]:
    """A node without a kubelet: what is bound to it never ends by itself."""
    name = f"silent-{uuid.uuid4().hex[:6]}"
    team.plane.kubectl("create", "--filename=-", input=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}))
    yield name
    team.plane.kubectl("delete", "node", name)


def bind(team: Namespace, pod: str, *, node: str) -> None:
    """Do what the scheduler does."""
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": {"kind": "Node", "name": node}}
    path = f"/api/v1/namespaces/{team.name}/pods/{pod}/binding"
    team.kubectl("create", f"--raw={path}", "--filename=-", input=json.dumps(binding))


def test_it_is_stopped_when_no_pod_is_left(team: Namespace, node: str) -> None:
    team.apply("ending", **QUICK | {"replicas": 1})
    run_until_ready(team, "ending")
    pod = team.kubectl("get", "pods", "--selector=app.kubernetes.io/instance=ending", "--output=jsonpath={.items[0].metadata.name}")
    bind(team, pod, node=node)

    team.kubectl("scale", "chatbot/ending", "--replicas=0")
    wait_until(lambda: team.condition("ending", "Reconciling"), lambda told: told and told["reason"] == "ScalingDown", seconds=60)
    assert not holds(team, "ending", "Ready")
    team.kubectl("delete", f"pod/{pod}", "--force", "--grace-period=0")

    ready = wait_until(lambda: team.condition("ending", "Ready"), lambda told: told and told["status"] == "True", seconds=60)
    assert ready is not None
    assert ready["reason"] == "ScaledToZero"
