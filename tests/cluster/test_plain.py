"""`deploy/k8s-deployment.yaml` on a real cluster by the documented kubectl lines: a chatbot that answers, without the operator."""

import json
import re
from collections.abc import Iterator

import pytest

from scripts.chat import stream_answer
from scripts.commands import Tools
from tests.cluster.callers import Caller
from tests.cluster.places import ROOT, Place, new_namespace

pytestmark = pytest.mark.cluster

NAME = "general-purpose-chatbot"


@pytest.fixture(scope="module")
def plain(tools: Tools) -> Iterator[Place]:
    """The manifest, applied under the restricted Pod Security standard, with the simulator of its namespace as its upstream."""
    with new_namespace(tools, "plain", chatbot=NAME) as place:
        simulator = (ROOT / "examples/simulator.yaml").read_text().replace("chatbot-demo", place.namespace)
        place.kubectl("apply", "--filename=-", stdin=simulator)
        place.kubectl("create", "secret", "generic", "chatbot-secrets", "--from-literal=anthropic-api-key=demo")
        place.kubectl("apply", "--filename", str(ROOT / "deploy/k8s-deployment.yaml"))
        upstream = f"ANTHROPIC_BASE_URL=http://anthropic-simulator.{place.namespace}.svc:8000"
        place.kubectl("set", "env", f"deployment/{NAME}", upstream, "DEBUG_ENDPOINTS=true")
        rolled_out(place)
        yield place


def rolled_out(place: Place) -> None:
    """Return when every pod of the Deployment is of its last revision and available."""
    place.kubectl("rollout", "status", f"deployment/{NAME}", "--timeout=2m")


def admin(place: Place, pod: str, path: str) -> str:
    """Return what the admin port of a pod answers, asked through the API server."""
    return place.kubectl("get", "--raw", f"/api/v1/namespaces/{place.namespace}/pods/{pod}:9090/proxy{path}")


def test_three_pods_are_ready_without_a_custom_resource(plain: Place) -> None:
    deployment = plain.deployment()

    assert deployment["status"]["readyReplicas"] == 3
    assert "ownerReferences" not in deployment["metadata"]


def test_the_service_leads_to_an_answer(plain: Place) -> None:
    with plain.tools.port_forward(f"service/{NAME}", f"--namespace={plain.namespace}") as port:
        assert "".join(stream_answer("127.0.0.1", port, "Hello, how are you?"))


def test_the_pods_took_their_key_from_the_secret(plain: Place) -> None:
    report = json.loads(admin(plain, plain.ready_pods()[0], "/report"))

    assert (report["state"], report["credentials"]["state"]) == ("ready", "Accepted")


def test_cpu_and_heap_profiles_come_from_a_running_pod(plain: Place) -> None:
    pod = plain.ready_pods()[0]
    with plain.tools.port_forward(f"pod/{pod}", f"--namespace={plain.namespace}") as port, Caller(port) as caller:
        profile = admin(plain, pod, "/debug/profile?seconds=2&format=collapsed")
        heap = admin(plain, pod, "/debug/heap?seconds=1")

    assert 200 in caller.statuses
    assert re.match(r"chatbot-service:\S+;.* \d+$", profile, re.MULTILINE)
    assert ".py:" in heap


def test_kubectl_scale_makes_five(plain: Place) -> None:
    plain.kubectl("scale", "deployment", NAME, "--replicas=5")
    rolled_out(plain)

    assert len(plain.ready_pods()) == 5
    assert plain.deployment()["status"]["readyReplicas"] == 5


def test_one_pod_at_a_time_may_be_evicted(plain: Place) -> None:
    budget = plain.get("poddisruptionbudget", NAME)

    assert budget["status"]["disruptionsAllowed"] == 1
