"""The words of the tests on a real cluster: a namespace with one chatbot or several, and the simulator that these ask."""

import json
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.chat import stream_answer
from scripts.commands import Tools
from scripts.installation import RESTRICTED

ROOT = Path(__file__).resolve().parents[2]
UPSTREAM_NAMESPACE = "e2e-upstream"
NAMESPACE_LABEL = "chatbot.dev/e2e"
CHATBOT = "helper"
Manifest = dict[str, Any]

SMALL: Manifest = {
    "replicas": 1,
    "upstream": {"baseURL": f"http://anthropic-simulator.{UPSTREAM_NAMESPACE}.svc:8000"},
    "resources": {"requests": {"cpu": "50m"}},
    "rollout": {"minReadySeconds": 1},
    "probes": {"readiness": {"period": "1s", "failureThreshold": 10}},
    "drain": {"delay": "2s", "timeout": "5s"},
    "service": {"type": "NodePort"},
}
"""A spec that is ready soon, with the simulator as its upstream, on a port of 127.0.0.1."""


def namespace_manifest(name: str) -> str:
    """Return a namespace under the restricted Pod Security standard."""
    labels = {NAMESPACE_LABEL: "true"} | RESTRICTED
    return json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})


def _simulator(path: str, namespace: str = UPSTREAM_NAMESPACE) -> str:
    return f"--raw=/api/v1/namespaces/{namespace}/services/anthropic-simulator:8000/proxy/_simulator/{path}"


def behave(tools: Tools, *, namespace: str = UPSTREAM_NAMESPACE, **behaviour: object) -> None:
    """Tell the simulator of a namespace how to answer from now on; answers that have begun go on as they were."""
    tools.kubectl("replace", _simulator("behaviour", namespace), "--filename=-", stdin=json.dumps(behaviour))


def asked_of_simulator(tools: Tools) -> dict[str, int]:
    """Return how many requests the simulator has had, by path."""
    counts: dict[str, int] = json.loads(tools.kubectl("get", _simulator("requests")))["by_path"]
    return counts


def is_ready(pod: Manifest) -> bool:
    """Return whether a pod's condition Ready holds."""
    return any(state["type"] == "Ready" and state["status"] == "True" for state in pod["status"].get("conditions", ()))


@contextmanager
def new_namespace(tools: Tools, name: str, *, chatbot: str = CHATBOT) -> Iterator["Place"]:
    """Make a namespace whose name begins with `name`; delete it with all that is in it, in the background."""
    place = Place(tools, f"e2e-{name[:40]}-{uuid.uuid4().hex[:6]}", chatbot)
    tools.kubectl("apply", "--server-side", "--filename=-", stdin=namespace_manifest(place.namespace))
    yield place
    tools.kubectl("delete", "namespace", place.namespace, "--wait=false")


@contextmanager
def new_place(tools: Tools, name: str) -> Iterator["Place"]:
    """Make a namespace for chatbots of the operator, without a Secret; they go first when it is deleted."""
    with new_namespace(tools, name) as place:
        yield place
        sys.stdout.write(place.kubectl("describe", "chatbot"))  # pytest shows it when the test failed
        place.kubectl("delete", "chatbot", "--all", "--wait=false")


@dataclass(frozen=True)
class Place:
    """A namespace and one chatbot in it; `dataclasses.replace` gives another one beside it."""

    tools: Tools
    namespace: str
    chatbot: str = CHATBOT

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in the namespace."""
        return self.tools.kubectl(*arguments, f"--namespace={self.namespace}", stdin=stdin)

    def get(self, *arguments: str) -> Manifest:
        """Return what `kubectl get` finds in the namespace."""
        return self.tools.kubectl_json("get", *arguments, f"--namespace={self.namespace}")

    def secret(self, name: str, key: str) -> None:
        """Create a Secret with an API key."""
        self.kubectl("create", "secret", "generic", name, "--from-file=anthropic-api-key=/dev/stdin", stdin=key)

    def apply(self, **spec: Any) -> None:
        """Apply the chatbot; `spec` replaces whole fields of a small one, None leaves a field out."""
        complete = {name: value for name, value in {**SMALL, **spec}.items() if value is not None}
        self.create("chatbot.dev/v1alpha1", "ChatbotDeployment", self.chatbot, complete)

    def create(self, api_version: str, kind: str, name: str, spec: Manifest) -> None:
        """Apply any object."""
        manifest = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=json.dumps(manifest))

    def wait(self, condition: str, *, seconds: float = 120) -> None:
        """Wait as `kubectl wait` does."""
        self.kubectl("wait", f"chatbot/{self.chatbot}", f"--for={condition}", f"--timeout={seconds:.0f}s")

    def wait_ready(self, *, seconds: float = 120) -> None:
        """Wait until this generation is rolled out."""
        self.wait("condition=Ready", seconds=seconds)

    def resource(self) -> Manifest:
        """Return the chatbot."""
        return self.get("chatbot", self.chatbot)

    def condition(self, kind: str) -> dict[str, str]:
        """Return a condition of the chatbot, empty when it is not there."""
        conditions = self.resource().get("status", {}).get("conditions", ())
        return next((condition for condition in conditions if condition["type"] == kind), {})

    def deployment(self) -> Manifest:
        """Return the chatbot's Deployment."""
        return self.get("deployment", self.chatbot)

    def replicas(self) -> int:
        """Return how many pods the Deployment is told to have."""
        replicas: int = self.deployment()["spec"]["replicas"]
        return replicas

    @property
    def selects_pods(self) -> str:
        """Return the option that names the chatbot's pods."""
        return f"--selector=app.kubernetes.io/component=chat-service,app.kubernetes.io/instance={self.chatbot}"

    def pods(self) -> list[Manifest]:
        """Return the chatbot's pods, without those that end."""
        items: list[Manifest] = self.get("pods", self.selects_pods)["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self) -> list[str]:
        """Return the names of the pods that take requests."""
        return [pod["metadata"]["name"] for pod in self.pods() if is_ready(pod)]

    def port(self) -> int:
        """Return the Service's port on 127.0.0.1."""
        port: int = self.get("service", self.chatbot)["spec"]["ports"][0]["nodePort"]
        return port

    def ask(self, question: str = "Hello, how are you?") -> list[str]:
        """Return the pieces of an answer."""
        return list(stream_answer("127.0.0.1", self.port(), question))
