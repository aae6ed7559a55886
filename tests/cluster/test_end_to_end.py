"""The whole product on a real cluster: Helm installs the operator, resources become pods that answer, failures say what to do."""

import json
import re
from pathlib import Path

import pytest
import yaml

from devcluster.state import state_folder
from scripts.commands import Failed, Tools
from scripts.installation import RELEASE, SYSTEM_NAMESPACE
from tests.cluster.places import CHATBOT, ROOT, Manifest, Place, wait_until

pytestmark = pytest.mark.cluster

OPERATOR_USER = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{RELEASE}"
OWNED_KINDS = "deployments,services,configmaps,serviceaccounts,poddisruptionbudgets,networkpolicies,endpointslices,pods"
HEAL_SECONDS = 90


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
