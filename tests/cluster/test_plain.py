"""`deploy/k8s-deployment.yaml` on a real cluster by the documented kubectl lines: a chatbot that answers, without the operator."""

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from scripts.chat import stream_answer
from scripts.commands import Tools
from tests.cluster.places import ROOT, Caller, Manifest, namespace_manifest

pytestmark = pytest.mark.cluster

NAME = "general-purpose-chatbot"


@dataclass(frozen=True)
class Plain:
    """The chatbot's namespace."""

    tools: Tools
    namespace: str

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.tools.kubectl(*arguments, f"--namespace={self.namespace}", stdin=stdin)

    def get(self, *arguments: str) -> Manifest:
        return self.tools.kubectl_json("get", *arguments, f"--namespace={self.namespace}")

    def rolled_out(self) -> None:
        self.kubectl("rollout", "status", f"deployment/{NAME}", "--timeout=2m")

    def pods(self) -> list[str]:
        """Return the names of the pods that are not ending."""
        items = self.get("pods", f"--selector=app.kubernetes.io/instance={NAME}")["items"]
        return [pod["metadata"]["name"] for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def admin(self, pod: str, path: str) -> str:
        """Return what the admin port of a pod answers, asked through the API server."""
        return self.tools.kubectl("get", "--raw", f"/api/v1/namespaces/{self.namespace}/pods/{pod}:9090/proxy{path}")


@pytest.fixture(scope="module")
def plain(tools: Tools) -> Iterator[Plain]:
    """The manifest, applied under the restricted Pod Security standard, with the simulator of its namespace as its upstream."""
    place = Plain(tools, f"e2e-plain-{uuid.uuid4().hex[:6]}")
    tools.kubectl("create", "--filename=-", stdin=namespace_manifest(place.namespace))
    simulator = (ROOT / "examples/simulator.yaml").read_text().replace("chatbot-demo", place.namespace)
    place.kubectl("apply", "--filename=-", stdin=simulator)
    place.kubectl("create", "secret", "generic", "chatbot-secrets", "--from-literal=anthropic-api-key=demo")
    place.kubectl("apply", "--filename", str(ROOT / "deploy/k8s-deployment.yaml"))
    upstream = f"ANTHROPIC_BASE_URL=http://anthropic-simulator.{place.namespace}.svc:8000"
    place.kubectl("set", "env", f"deployment/{NAME}", upstream, "DEBUG_ENDPOINTS=true")
    place.rolled_out()
    yield place
    tools.kubectl("delete", "namespace", place.namespace, "--wait=false")


def test_three_pods_are_ready_without_a_custom_resource(plain: Plain) -> None:
    deployment = plain.get("deployment", NAME)

    assert deployment["status"]["readyReplicas"] == 3
    assert "ownerReferences" not in deployment["metadata"]


def test_the_service_leads_to_an_answer(plain: Plain) -> None:
    with plain.tools.port_forward(f"service/{NAME}", f"--namespace={plain.namespace}") as port:
        assert "".join(stream_answer("127.0.0.1", port, "Hello, how are you?"))


def test_the_pods_took_their_key_from_the_secret(plain: Plain) -> None:
    report = json.loads(plain.admin(plain.pods()[0], "/report"))

    assert (report["state"], report["credentials"]["state"]) == ("ready", "Accepted")


def test_cpu_and_heap_profiles_come_from_a_running_pod(plain: Plain) -> None:
    pod = plain.pods()[0]
    with plain.tools.port_forward(f"pod/{pod}", f"--namespace={plain.namespace}") as port, Caller(port) as caller:
        profile = plain.admin(pod, "/debug/profile?seconds=2&format=collapsed")
        heap = plain.admin(pod, "/debug/heap?seconds=1")

    assert 200 in caller.statuses
    assert re.match(r"chatbot-service:\S+;.* \d+$", profile, re.MULTILINE)
    assert ".py:" in heap


def test_kubectl_scale_makes_five(plain: Plain) -> None:
    plain.kubectl("scale", "deployment", NAME, "--replicas=5")
    plain.rolled_out()

    assert len(plain.pods()) == 5
    assert plain.get("deployment", NAME)["status"]["readyReplicas"] == 5


def test_one_pod_at_a_time_may_be_evicted(plain: Plain) -> None:
    budget = plain.get("poddisruptionbudget", NAME)

    assert budget["status"]["disruptionsAllowed"] == 1
