"""The whole product on a real cluster: Helm installs the operator, resources become pods that answer, failures say what to do."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from devcluster.state import state_folder
from scripts.commands import Failed, Tools
from scripts.installation import RELEASE, SYSTEM_NAMESPACE
from tests.api.rights import granted, rights_of
from tests.cluster.places import CHATBOT, ROOT, Manifest, Place, new_place
from tests.waiting import wait_until

pytestmark = pytest.mark.cluster

OPERATOR_USER = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{RELEASE}"
OWNED_KINDS = "deployments,services,configmaps,serviceaccounts,poddisruptionbudgets,networkpolicies,endpointslices,pods"
HEAL_SECONDS = 90


@pytest.fixture(scope="module")
def log_start(tools: Tools) -> int:
    """Where the audit log stood before the operator was installed; an earlier one may have lost its rights while it ended."""
    return audit_log().stat().st_size


@pytest.fixture(scope="module")
def serving(log_start: int, installed: Tools) -> Iterator[Place]:
    """The minimal chatbot, ready, with a Secret that the simulator accepts; tests may scale it."""
    minimal = yaml.safe_load((ROOT / "examples" / "minimal.yaml").read_text())
    with new_place(installed, "serving") as place:
        place.secret("chatbot-secrets", "demo")
        place.apply(**minimal["spec"], replicas=3)
        place.wait_ready()
        yield place


@pytest.fixture(scope="module")
def two(installed: Tools) -> Iterator[tuple[Place, Place]]:
    """Two chatbots that begin at once, since both take their time; the second one has no Secret."""
    with new_place(installed, "complete") as complete, new_place(installed, "keyless") as keyless:
        keyless.apply()
        complete.secret("chatbot-secrets", "demo")
        complete.apply(replicas=2, systemPrompt="Be brief.")
        yield complete, keyless


@pytest.fixture(scope="module")
def complete(two: tuple[Place, Place]) -> Place:
    """A chatbot with every child that a cluster without further kinds can have; tests may delete what they like."""
    place, _ = two
    place.wait_ready()
    return place


@pytest.fixture(scope="module")
def keyless(two: tuple[Place, Place]) -> Place:
    """A chatbot whose Secret is not there."""
    _, place = two
    return place


def operator_requests(since: int) -> list[Manifest]:
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


def test_second_reconcile_sends_nothing(serving: Place) -> None:
    """Before anybody asked anything, since figures of traffic are written once a minute."""
    serving.wait("jsonpath={.status.credentials.podsCurrent}=3")
    settled = reconciles(serving.tools)
    start = audit_log().stat().st_size

    serving.kubectl("annotate", "chatbot", CHATBOT, "touched=by-hand")

    wait_until(lambda: reconciles(serving.tools) > settled, what="a second reconcile", seconds=30)
    writes = [
        f"{entry['verb']} {entry['requestURI']}"
        for entry in operator_requests(start)
        if entry["verb"] not in {"get", "list", "watch"} and entry["objectRef"]["resource"] != "leases"
    ]
    assert writes == []


def test_minimal_resource_becomes_three_ready_pods_that_stream_an_answer(serving: Place) -> None:
    line = serving.kubectl("get", "chatbot", CHATBOT, "--no-headers").split()

    assert line[1:3] == ["3/3", "Ready"]
    assert len(serving.ready_pods()) == 3
    assert len(serving.ask()) > 1


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
def test_wrong_spec_is_refused_by_the_name_of_its_field(serving: Place, spec: Manifest, named: str) -> None:
    with pytest.raises(Failed, match=re.escape(named)):
        serving.apply(**spec)


def test_deleted_deployment_comes_back(complete: Place) -> None:
    place = complete
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


def test_deleting_the_resource_leaves_nothing_behind(complete: Place) -> None:
    owned = ("--selector=app.kubernetes.io/managed-by=chatbot-operator", "--output=name")
    kinds = {name.split("/")[0].split(".")[0] for name in complete.kubectl("get", OWNED_KINDS, *owned).split()}
    services = {"service", "endpointslice", "networkpolicy"}
    assert kinds == services | {"deployment", "pod", "configmap", "serviceaccount", "poddisruptionbudget"}

    complete.kubectl("delete", "chatbot", CHATBOT)

    wait_until(lambda: complete.kubectl("get", OWNED_KINDS, *owned) == "", what="every child gone", seconds=60)


def test_missing_secret_is_explained_and_heals_by_itself(keyless: Place) -> None:
    place = keyless
    wait_until(lambda: place.condition("Reconciling").get("reason") == "WaitingForSecret", what="WaitingForSecret", seconds=60)

    message = place.condition("Ready")["message"] + place.condition("Reconciling")["message"]
    assert re.search(r"kubectl create secret generic chatbot-secrets .*anthropic-api-key", message)
    assert place.condition("Ready")["status"] == "False"
    assert [pod["status"]["phase"] for pod in place.pods()] == ["Running"]
    assert place.ready_pods() == []

    place.secret("chatbot-secrets", "demo")
    place.wait_ready(seconds=HEAL_SECONDS)
    assert place.ask()


def test_operator_has_every_right_that_it_used_from_the_chart(log_start: int, serving: Place) -> None:
    requests = operator_requests(log_start)

    assert requests
    assert [entry["requestURI"] for entry in requests if entry["annotations"]["authorization.k8s.io/decision"] != "allow"] == []
    assert {right for entry in requests if "objectRef" in entry for right in rights_of(entry)} - granted() == set()
