"""The whole product on a real cluster: Helm installs the operator, resources become pods that answer, failures say what to do."""

import http.client
import json
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest
import yaml

from devcluster.binaries import binary
from devcluster.controlplane import ControlPlane
from devcluster.state import state_folder
from scripts.chat import stream_answer
from scripts.commands import Failed, Tools
from scripts.installation import CRD, IMAGES, RELEASE, SYSTEM_NAMESPACE, archive

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parents[2]
OPERATOR_USER = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{RELEASE}"
UPSTREAM_NAMESPACE = "e2e-upstream"
OWNED_KINDS = "deployments,services,configmaps,serviceaccounts,poddisruptionbudgets,networkpolicies,endpointslices,pods"
CHATBOT = "helper"
HEAL_SECONDS = 90
Manifest = dict[str, Any]


def namespace_manifest(name: str) -> str:
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "chatbot.dev/e2e": "true"}
    return json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})


def wait_until(condition: Callable[[], bool], *, what: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.2)


@dataclass(frozen=True)
class Place:
    """A namespace of one test, with the words that the tests speak."""

    tools: Tools
    namespace: str

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.tools.kubectl(*arguments, f"--namespace={self.namespace}", stdin=stdin)

    def get(self, *arguments: str) -> Manifest:
        return self.tools.kubectl_json("get", *arguments, f"--namespace={self.namespace}")

    def secret(self, name: str, key: str) -> None:
        self.kubectl("create", "secret", "generic", name, "--from-file=anthropic-api-key=/dev/stdin", stdin=key)

    def apply(self, **spec: Any) -> None:
        """Apply the chatbot: small, on a NodePort, with the simulator as its upstream; `spec` replaces whole fields."""
        complete = {
            "replicas": 1,
            "upstream": {"baseURL": f"http://anthropic-simulator.{UPSTREAM_NAMESPACE}.svc:8000"},
            "resources": {"requests": {"cpu": "50m"}},
            "drain": {"delay": "2s", "timeout": "20s"},
            "service": {"type": "NodePort"},
            **spec,
        }
        manifest = {"apiVersion": "chatbot.dev/v1alpha1", "kind": "ChatbotDeployment", "metadata": {"name": CHATBOT}, "spec": complete}
        self.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=json.dumps(manifest))

    def wait(self, condition: str, *, seconds: float = 120) -> None:
        self.kubectl("wait", f"chatbot/{CHATBOT}", f"--for={condition}", f"--timeout={seconds:.0f}s")

    def wait_ready(self, *, seconds: float = 120) -> None:
        self.wait("condition=Ready", seconds=seconds)

    def condition(self, kind: str) -> dict[str, str]:
        conditions = self.get("chatbot", CHATBOT).get("status", {}).get("conditions", ())
        return next((condition for condition in conditions if condition["type"] == kind), {})

    def pods(self) -> list[Manifest]:
        """Return the chatbot's pods, without those that end."""
        items: list[Manifest] = self.get("pods", "--selector=app.kubernetes.io/managed-by=chatbot-operator")["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self) -> list[str]:
        return [
            pod["metadata"]["name"]
            for pod in self.pods()
            if any(state["type"] == "Ready" and state["status"] == "True" for state in pod["status"].get("conditions", ()))
        ]

    def port(self) -> int:
        """Return the Service's port on 127.0.0.1."""
        port: int = self.get("service", CHATBOT)["spec"]["ports"][0]["nodePort"]
        return port

    def ask(self, question: str = "Hello, how are you?") -> list[str]:
        return list(stream_answer("127.0.0.1", self.port(), question))


@dataclass
class Caller:
    """Asks without a pause, each time on a new connection, until it is stopped; remembers every status."""

    port: int
    statuses: list[int | str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                connection.request("POST", "/api/chat", body=b'{"message": "ping"}', headers={"Content-Type": "application/json"})
                response = connection.getresponse()
                response.read()
                self.statuses.append(response.status)
            except (OSError, http.client.HTTPException) as error:
                self.statuses.append(repr(error))
            finally:
                connection.close()


@pytest.fixture(scope="module")
def tools(devcluster: ControlPlane) -> Tools:
    """kubectl and helm for the devcluster, with the three images in it."""
    archives = [str(archive(name)) for name in IMAGES]
    subprocess.run([sys.executable, "-m", "devcluster", "load", *archives], cwd=ROOT, check=True)
    return Tools(kubectl_binary=binary("kubectl"), helm_binary=binary("helm"), kubeconfig=str(devcluster.kubeconfig))


@pytest.fixture(scope="module")
def installed(tools: Tools) -> Iterator[Tools]:
    """The operator, installed by `helm install --wait`, and a simulator for it to talk to; all of it removed at the end."""
    _remove(tools)
    for name in (SYSTEM_NAMESPACE, UPSTREAM_NAMESPACE):
        tools.kubectl("apply", "--server-side", "--filename=-", stdin=namespace_manifest(name))
    simulator = (ROOT / "examples" / "simulator.yaml").read_text().replace("chatbot-demo", UPSTREAM_NAMESPACE)
    tools.kubectl("apply", "--server-side", "--filename=-", stdin=simulator)
    tools.helm("install", RELEASE, str(ROOT / "charts" / "chatbot-operator"), f"--namespace={SYSTEM_NAMESPACE}", "--wait", "--timeout=2m")
    tools.kubectl("rollout", "status", "deployment/anthropic-simulator", f"--namespace={UPSTREAM_NAMESPACE}", "--timeout=2m")
    yield tools
    _remove(tools)


def _remove(tools: Tools) -> None:
    tools.helm("uninstall", RELEASE, f"--namespace={SYSTEM_NAMESPACE}", "--ignore-not-found", "--wait")
    tools.kubectl("delete", "customresourcedefinition", CRD, "--ignore-not-found")
    tools.kubectl("delete", "namespace", "--selector=chatbot.dev/e2e", "--ignore-not-found")


@pytest.fixture
def bare_place(installed: Tools, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A namespace of the test's own under the restricted Pod Security standard, without a Secret."""
    name = f"e2e-{re.sub(r'[^a-z0-9]+', '-', request.node.name.removeprefix('test_'))[:40]}-{uuid.uuid4().hex[:6]}"
    installed.kubectl("apply", "--server-side", "--filename=-", stdin=namespace_manifest(name))
    place = Place(installed, name)
    yield place
    sys.stdout.write(place.kubectl("describe", "chatbot"))  # pytest shows it when the test failed
    place.kubectl("delete", "chatbot", "--all")
    place.kubectl("wait", "pods", "--all", "--for=delete", "--timeout=60s")
    installed.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def place(bare_place: Place) -> Place:
    """A namespace of the test's own with a Secret that the simulator accepts."""
    bare_place.secret("chatbot-secrets", "demo")
    return bare_place


def operator_requests(since: int = 0) -> list[Manifest]:
    """Return what the operator asked of the API server, from the audit log's byte `since` on."""
    with audit_log().open("rb") as log:
        log.seek(since)
        entries = [json.loads(line) for line in log]
    return [entry for entry in entries if entry["user"].get("username") == OPERATOR_USER and entry["stage"] == "ResponseComplete"]


def audit_log() -> Path:
    return state_folder() / "audit.log"


def reconciles(tools: Tools) -> float:
    """Return how many reconciles the operator's replicas have finished, of which one works."""
    pods = tools.kubectl("get", "pods", f"--namespace={SYSTEM_NAMESPACE}", "--output=jsonpath={.items[*].metadata.name}").split()
    pages = (tools.kubectl("get", "--raw", f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods/{pod}:8080/proxy/metrics") for pod in pods)
    pattern = re.compile(r"^controller_runtime_reconcile_total\{[^}]*\} (\S+)$", flags=re.MULTILINE)
    return sum(float(value) for page in pages for value in pattern.findall(page))


def test_minimal_resource_becomes_three_ready_pods_that_stream_an_answer(place: Place) -> None:
    minimal = yaml.safe_load((ROOT / "examples" / "minimal.yaml").read_text())
    place.apply(**minimal["spec"], replicas=3)
    place.wait_ready()

    line = place.kubectl("get", "chatbot", CHATBOT, "--no-headers").split()
    assert line[1:3] == ["3/3", "Ready"]
    assert len(place.ready_pods()) == 3
    assert len(place.ask()) > 1


def test_kubectl_scale_gives_five_ready_pods_and_says_so(place: Place) -> None:
    place.apply(replicas=3)
    place.wait_ready()

    place.kubectl("scale", f"chatbot/{CHATBOT}", "--replicas=5")

    place.wait("jsonpath={.status.ready}=5/5")
    place.wait_ready()
    assert len(place.ready_pods()) == 5
    assert place.get("chatbot", CHATBOT)["status"]["readyReplicas"] == 5


def test_deleted_deployment_comes_back(place: Place) -> None:
    place.apply()
    place.wait_ready()
    before = place.get("deployment", CHATBOT)["metadata"]["uid"]

    place.kubectl("delete", "deployment", CHATBOT)

    wait_until(
        lambda: place.get("deployment", CHATBOT, "--ignore-not-found").get("metadata", {}).get("uid", before) != before,
        what="a new Deployment",
        seconds=30,
    )
    place.kubectl("wait", f"deployment/{CHATBOT}", "--for=condition=Available", "--timeout=60s")
    place.wait_ready()
    assert place.ask()


def test_second_reconcile_sends_nothing(place: Place) -> None:
    place.apply()
    place.wait_ready()
    place.wait("condition=CredentialsValid")
    settled = reconciles(place.tools)
    start = audit_log().stat().st_size

    place.kubectl("annotate", "chatbot", CHATBOT, "touched=by-hand")

    wait_until(lambda: reconciles(place.tools) > settled, what="a second reconcile", seconds=30)
    writes = [
        f"{entry['verb']} {entry['requestURI']}"
        for entry in operator_requests(start)
        if entry["verb"] not in {"get", "list", "watch"} and entry["objectRef"]["resource"] != "leases"
    ]
    assert writes == []


def test_operator_is_refused_nothing(place: Place) -> None:
    place.apply()
    place.wait_ready()

    requests = operator_requests()
    assert requests
    assert [entry["requestURI"] for entry in requests if entry["responseStatus"]["code"] == 403] == []


def test_deleting_the_resource_leaves_nothing_behind(place: Place) -> None:
    place.apply(replicas=2, systemPrompt="Be brief.")  # with every child there is
    place.wait_ready()
    owned = ("--selector=app.kubernetes.io/managed-by=chatbot-operator", "--output=name")
    kinds = {name.split("/")[0].split(".")[0] for name in place.kubectl("get", OWNED_KINDS, *owned).split()}
    services = {"service", "endpointslice", "networkpolicy"}
    assert kinds == services | {"deployment", "pod", "configmap", "serviceaccount", "poddisruptionbudget"}

    place.kubectl("delete", "chatbot", CHATBOT)

    wait_until(lambda: place.kubectl("get", OWNED_KINDS, *owned) == "", what="every child gone", seconds=60)


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"replicas": -1}, "spec.replicas"),
        ({"image": "general-purpose-chatbot"}, "spec.image"),
        ({"upstream": {"baseURL": "ftp://example.com"}}, "spec.upstream.baseURL"),
        ({"systemPromt": "typo"}, "systemPromt"),
    ],
    ids=["replicas", "image", "base-url", "typo"],
)
def test_wrong_spec_is_refused_by_the_name_of_its_field(place: Place, spec: Manifest, named: str) -> None:
    with pytest.raises(Failed, match=re.escape(named)):
        place.apply(**spec)


def test_missing_secret_is_explained_and_heals_by_itself(bare_place: Place) -> None:
    place = bare_place
    place.apply()
    wait_until(lambda: place.condition("Reconciling").get("reason") == "WaitingForSecret", what="WaitingForSecret", seconds=60)

    message = place.condition("Ready")["message"] + place.condition("Reconciling")["message"]
    assert re.search(r"kubectl create secret generic chatbot-secrets .*anthropic-api-key", message)
    assert place.condition("Ready")["status"] == "False"
    assert [pod["status"]["phase"] for pod in place.pods()] == ["Running"]
    assert place.ready_pods() == []

    place.secret("chatbot-secrets", "demo")
    place.wait_ready(seconds=HEAL_SECONDS)
    assert place.ask()


def test_refused_key_stalls_with_words_while_old_pods_serve_on(place: Place) -> None:
    place.apply()
    place.wait_ready()
    old = place.ready_pods()
    place.secret("wrong", "invalid-key")

    place.apply(credentials={"secretRef": {"name": "wrong"}})

    place.wait("condition=Stalled")
    stalled = place.condition("Stalled")
    assert "key" in stalled["message"].lower()
    assert "wrong" in stalled["message"]
    assert "invalid-key" not in json.dumps(place.get("chatbot", CHATBOT))
    assert place.condition("Ready")["status"] == "False"
    assert place.condition("Available")["status"] == "True"
    assert place.ready_pods() == old
    assert place.ask()


def test_rolling_update_loses_no_request(place: Place) -> None:
    place.apply(replicas=2)
    place.wait_ready()
    old = {f"pod/{name}" for name in place.ready_pods()}

    with Caller(place.port()) as caller:
        wait_until(lambda: len(caller.statuses) > 5, what="the first answers", seconds=30)
        place.apply(replicas=2, model={"maxTokens": 512})
        place.wait("jsonpath={.status.observedGeneration}=2")
        place.wait_ready()
        wait_until(
            lambda: not old & {name.removeprefix("pod/") for name in place.kubectl("get", "pods", "--output=name").split()},
            what="old pods gone",
            seconds=60,
        )

    assert set(caller.statuses) == {200}, caller.statuses
