"""`deploy/k8s-deployment.yaml` on a real cluster by the documented kubectl lines: a chatbot that answers, without the operator."""

import json
import re
import shlex
from collections.abc import Iterator

import pytest

from scripts.chat import stream_answer
from scripts.commands import Tools
from tests.cluster.callers import Caller
from tests.cluster.places import ROOT, Manifest, Place, namespace_manifest, new_namespace
from tests.docs.pages import DOCS, blocks, command_lines

pytestmark = pytest.mark.cluster

NAME = "general-purpose-chatbot"
DOCUMENTED = "tests/cluster/test_plain.py::test_three_pods_are_ready_as_it_stands_though_nobody_reaches_anthropic_here"
RESOLVE = ("/opt/chatbot/bin/python", "-c", "import socket; print(socket.gethostbyname('api.anthropic.com'))")
NOBODYS = "192.0.2.1"
"""Of RFC 5737."""
NOWHERE: tuple[Manifest, ...] = (
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "anthropic"}, "spec": {"clusterIP": "None", "ports": [{"port": 443}]}},
    {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "anthropic", "labels": {"kubernetes.io/service-name": "anthropic"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [NOBODYS], "hostname": "api"}],
        "ports": [{"port": 443}],
    },
)
"""In a namespace `com`, where a pod's resolver looks first for api.anthropic.com, by its search domain svc.cluster.local."""


@pytest.fixture(scope="module")
def nowhere(tools: Tools) -> Iterator[None]:
    """Anthropic's API is out of every pod's reach, on whatever machine: one that answers would refuse the tests' key."""
    tools.kubectl("apply", "--server-side", "--filename=-", stdin=namespace_manifest("com"))
    for manifest in NOWHERE:
        tools.kubectl("apply", "--namespace=com", "--filename=-", stdin=json.dumps(manifest))
    yield
    tools.kubectl("delete", "namespace", "com", "--wait=false")


@pytest.fixture(scope="module")
def applied(tools: Tools, nowhere: None) -> Iterator[Place]:
    """The manifest as it stands, applied by the page's commands under the restricted Pod Security standard."""
    (block,) = (block for block in blocks(DOCS / "installing.md") if DOCUMENTED in block.tests)
    with new_namespace(tools, "plain", chatbot=NAME) as place:
        for line in command_lines(block):
            place.kubectl(*shlex.split(line)[1:], stdin="demo\n")
        yield place


@pytest.fixture(scope="module")
def plain(applied: Place) -> Place:
    """The same with the simulator, in its namespace, as its upstream."""
    simulator = (ROOT / "examples/simulator.yaml").read_text().replace("chatbot-demo", applied.namespace)
    applied.kubectl("apply", "--filename=-", stdin=simulator)
    upstream = f"ANTHROPIC_BASE_URL=http://anthropic-simulator.{applied.namespace}.svc:8000"
    applied.kubectl("set", "env", f"deployment/{NAME}", upstream, "DEBUG_ENDPOINTS=true")
    rolled_out(applied)
    return applied


def rolled_out(place: Place) -> None:
    """Return when every pod of the Deployment is of its last revision and available."""
    place.kubectl("rollout", "status", f"deployment/{NAME}", "--timeout=2m")


def admin(place: Place, pod: str, path: str) -> str:
    """Return what the admin port of a pod answers, asked through the API server."""
    return place.kubectl("get", "--raw", f"/api/v1/namespaces/{place.namespace}/pods/{pod}:9090/proxy{path}")


def test_three_pods_are_ready_as_it_stands_though_nobody_reaches_anthropic_here(applied: Place) -> None:
    deployment = applied.deployment()
    pod = applied.ready_pods()[0]
    report = json.loads(admin(applied, pod, "/report"))
    resolved = applied.tools.kubectl("exec", pod, f"--namespace={applied.namespace}", "--", *RESOLVE)

    assert resolved.strip() == NOBODYS
    assert deployment["status"]["readyReplicas"] == 3
    assert "ownerReferences" not in deployment["metadata"]
    assert report["credentials"]["state"] == "Unverified"


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
