"""The leader polls real pods: what they find, count and use stands in the status, and nothing is written while nothing happens.

That it is not is looked at after all other tests that use the operator: a minute must pass first.
"""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from chatbot_operator.reporting import FIGURES_SECONDS
from devcluster.controlplane import ControlPlane
from scripts.commands import Tools
from scripts.installation import RELEASE, SYSTEM_NAMESPACE
from tests.cluster.callers import Caller
from tests.cluster.places import SMALL, Manifest, Place, asked_of_simulator, behave, namespace_manifest, new_place
from tests.faults.audit import writes
from tests.waiting import wait_until

pytestmark = pytest.mark.cluster

OPERATOR_USER = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{RELEASE}"
MESSAGES = "/v1/messages"
POLLED_SECONDS = 20
"""Two polls are never further apart."""
REST_SECONDS = FIGURES_SECONDS + POLLED_SECONDS
"""Figures that changed would be written by then."""
TOLD_SECONDS = 60
"""A poll and a status, on a machine that is busy."""
CALLS_PAUSE_SECONDS = 0.05
PODS = 2
ASKED = 10
OBJECTIVES: Manifest = {"p95": "30s", "errorRatePercent": "1", "minSamples": 5, "window": "5m"}
FRAGILE = SMALL["upstream"] | {"circuitBreaker": {"failureThreshold": 3, "resetTimeout": "5s"}, "retries": {"maxAttempts": 1}}


@dataclass(frozen=True)
class Fleet:
    """Two chatbots: one has had its traffic, one is about to lose its API."""

    steady: Place
    failing: Place
    used: list[Manifest]
    """The tokens of each answer of the steady one."""
    received: int
    """How many of its requests reached the simulator."""


@pytest.fixture(scope="session")
def begun(installed: Tools) -> Place:
    """A chatbot that is never asked anything, just begun; it goes with all that is of the tests."""
    place = Place(installed, "e2e-resting", "resting")
    installed.kubectl("apply", "--server-side", "--filename=-", stdin=namespace_manifest(place.namespace))
    place.secret("chatbot-secrets", "demo")
    place.apply()
    return place


@pytest.fixture(scope="session")
def resting(begun: Place) -> datetime:
    """Since when its status has said all that there is to say."""
    begun.wait_ready()
    begun.wait("jsonpath={.status.credentials.podsCurrent}=1")
    return datetime.now(UTC)


@pytest.fixture
def rested(resting: datetime) -> datetime:
    """The same, once figures that changed would have been written."""
    end = resting + timedelta(seconds=REST_SECONDS)
    wait_until(lambda: datetime.now(UTC) > end, what="figures' time", seconds=REST_SECONDS + 5)
    return resting


@pytest.fixture(scope="module")
def fleet(begun: Place, installed: Tools) -> Iterator[Fleet]:
    """The steady one's pods must stay ready for longer than a poll takes to come round, so its first status tells of all its traffic."""
    with new_place(installed, "fleet") as place:
        place.secret("chatbot-secrets", "demo")
        steady, failing = (replace(place, chatbot=name) for name in ("steady", "failing"))
        steady.apply(replicas=PODS, slo=OBJECTIVES, rollout={"minReadySeconds": POLLED_SECONDS + 5})
        failing.apply(replicas=PODS, slo=OBJECTIVES, upstream=FRAGILE)
        wait_until(lambda: len(steady.ready_pods()) == PODS and is_open(steady.port()), what="pods that serve", seconds=90)
        before = asked_of_simulator(installed).get(MESSAGES, 0)
        used = [ask(steady.port(), stream=number % 2 == 0) for number in range(ASKED)]
        received = asked_of_simulator(installed)[MESSAGES] - before
        failing.wait_ready()
        failing.wait(f"jsonpath={{.status.credentials.podsCurrent}}={PODS}")
        yield Fleet(steady, failing, used, received)


def is_open(port: int) -> bool:
    """Tell whether the Service leads to a pod: kube-proxy follows some moments after the pods are ready."""
    with closing(socket.socket()) as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def ask(port: int, *, stream: bool) -> Manifest:
    """Return the tokens that one answer says it took."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/api/chat", body=json.dumps({"message": "Hello, how are you?", "stream": stream}), headers=headers)
    response = connection.getresponse()
    body = response.read().decode().strip()
    connection.close()
    assert response.status == http.client.OK, body
    last = body.rpartition("\ndata: ")[2] if stream else body
    usage: Manifest = json.loads(last)["usage"]
    return usage


def judged(chatbot: Place, kind: str) -> tuple[str, str]:
    """Return status and reason of a condition."""
    condition = chatbot.condition(kind)
    return condition["status"], condition["reason"]


def events(chatbot: Place, kind: str) -> list[str]:
    """Return the reasons of the Events about a chatbot."""
    items = chatbot.get("events.events.k8s.io")["items"]
    return [item["reason"] for item in items if item["type"] == kind and item["regarding"]["name"] == chatbot.chatbot]


def test_api_that_fails_every_pod_is_told_once_and_leaves_the_resource_ready(fleet: Fleet) -> None:
    chatbot = fleet.failing
    behave(chatbot.tools, error={"status": 529})
    try:
        with Caller(chatbot.port(), pause_seconds=CALLS_PAUSE_SECONDS):
            chatbot.wait(f"jsonpath={{.status.upstream.breakerOpen}}={PODS}", seconds=TOLD_SECONDS)
            status = chatbot.resource()["status"]
    finally:
        behave(chatbot.tools)

    assert (status["state"], status["upstream"]["breaker"]) == ("Degraded", "open")
    assert status["upstream"]["lastErrorType"] == "overloaded_error"
    assert status["slo"]["samples"] >= OBJECTIVES["minSamples"]
    assert float(status["slo"]["errorRatePercent"]) + float(status["slo"]["availabilityPercent"]) == pytest.approx(100)
    assert judged(chatbot, "Ready")[0] == "True"
    assert judged(chatbot, "UpstreamAvailable") == ("False", "AllBreakersOpen")
    assert judged(chatbot, "SLOMet") == ("False", "ObjectivesMissed")


def test_api_that_answers_again_is_told(fleet: Fleet) -> None:
    chatbot = fleet.failing

    with Caller(chatbot.port(), pause_seconds=CALLS_PAUSE_SECONDS):
        chatbot.wait("condition=UpstreamAvailable", seconds=TOLD_SECONDS)

    status = chatbot.resource()["status"]
    assert (status["state"], status["upstream"]["breakerClosed"], status["upstream"]["breakerOpen"]) == ("Ready", PODS, 0)
    assert judged(chatbot, "UpstreamAvailable") == ("True", "BreakersClosed")
    assert events(chatbot, "Warning").count("AllBreakersOpen") == 1
    assert events(chatbot, "Normal").count("BreakersClosed") == 1


def test_figures_are_those_of_the_traffic(fleet: Fleet) -> None:
    fleet.steady.wait_ready()

    status = fleet.steady.resource()["status"]
    slo = status["slo"]
    assert slo["samples"] == fleet.received == ASKED
    assert (slo["errorRatePercent"], slo["availabilityPercent"]) == ("0.00", "100.00")
    assert slo["p95Milliseconds"] > 0
    assert slo["timeToFirstTokenP95Milliseconds"] > 0
    assert status["usage"] == {f"{kind}Tokens": sum(usage[f"{kind}_tokens"] for usage in fleet.used) for kind in ("input", "output")}
    assert min(status["usage"].values()) > 0
    assert judged(fleet.steady, "SLOMet") == ("True", "ObjectivesMet")


def test_a_chatbot_that_nobody_asks_comes_to_rest(begun: Place, resting: datetime) -> None:
    assert begun.resource()["status"]["credentials"] == {"state": "Accepted", "podsCurrent": 1}


def test_nothing_is_written_of_pods_that_are_polled_and_say_nothing_new(begun: Place, rested: datetime, devcluster: ControlPlane) -> None:
    found = [write for write in writes(devcluster, OPERATOR_USER) if write.name.startswith("resting")]

    assert found != []
    assert [write for write in found if write.began > rested] == []
    assert begun.resource()["status"]["credentials"] == {"state": "Accepted", "podsCurrent": 1}
