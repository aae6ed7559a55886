"""Who decides the number of pods: the operator by the load, or an autoscaler and `kubectl scale` through the resource; one at a time."""

import http.client
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

import pytest
import yaml

from scripts.commands import Tools
from tests.cluster.places import ROOT, Manifest, Place, behave, new_place
from tests.waiting import wait_until

pytestmark = pytest.mark.cluster

HPA_EXAMPLE = ROOT / "examples" / "hpa.yaml"
MINUTES_OF_ANSWER: Manifest = {"events": 600, "pace": "1s"}
DECIDED_SECONDS = 90
"""A poll and a decision, each at most every 15 s, on a machine that is busy; twice that for an autoscaler."""


@dataclass(frozen=True)
class Crowd:
    """Three chatbots beside each other, each scaled in its own way."""

    by_load: Place
    bounded: Place
    by_hpa: Place
    streams: ExitStack


@pytest.fixture(scope="module")
def crowd(installed: Tools) -> Iterator[Crowd]:
    """All of them started and loaded at once, since whoever scales looks only now and then."""
    with new_place(installed, "scaling") as place, ExitStack() as streams:
        place.secret("chatbot-secrets", "demo")
        by_load, bounded, by_hpa = (replace(place, chatbot=name) for name in ("by-load", "bounded", "scaled-by-hpa"))
        example, autoscaler = yaml.safe_load_all(HPA_EXAMPLE.read_text())
        by_hpa.apply(**example["spec"] | {"replicas": None, "resources": {"requests": {"cpu": "50m"}}})
        by_hpa.kubectl("scale", "chatbot/scaled-by-hpa", "--replicas=1")
        place.create(autoscaler["apiVersion"], autoscaler["kind"], autoscaler["metadata"]["name"], autoscaler["spec"])
        by_load.apply(autoscaling=scaling(most=4))
        bounded.apply(autoscaling=scaling(most=2))
        for chatbot in (by_load, bounded):
            chatbot.wait_ready()
        open_streams(streams, (by_load, 6), (bounded, 8))
        yield Crowd(by_load, bounded, by_hpa, streams)


def scaling(*, most: int) -> dict[str, object]:
    return {"enabled": True, "minReplicas": 1, "maxReplicas": most, "targetInFlightPerPod": 2, "scaleDownStabilization": "5s"}


def open_streams(streams: ExitStack, *loads: tuple[Place, int]) -> None:
    """Open so many streams to each chatbot, of answers that take minutes."""
    tools = loads[0][0].tools
    behave(tools, **MINUTES_OF_ANSWER)
    try:
        for chatbot, count in loads:
            port = chatbot.port()
            for _ in range(count):
                streams.enter_context(closing(open_stream(port)))
    finally:
        behave(tools)


def open_stream(port: int) -> http.client.HTTPConnection:
    """Return a connection on which an answer has begun."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/api/chat", body=b'{"message": "ping", "stream": true}', headers={"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.status == http.client.OK, response.read()
    assert response.readline() == b"event: start\n"
    return connection


def test_horizontal_pod_autoscaler_keeps_the_resource_within_its_bounds(crowd: Crowd) -> None:
    chatbot = crowd.by_hpa
    wait_until(lambda: chatbot.resource()["spec"]["replicas"] == 2, what="the least that the autoscaler allows", seconds=DECIDED_SECONDS)
    wait_until(lambda: chatbot.replicas() == 2, what="the Deployment's following", seconds=30)

    chatbot.kubectl("patch", "horizontalpodautoscaler", "scaled-by-hpa", '--patch={"spec": {"maxReplicas": 3}}')
    chatbot.kubectl("scale", "chatbot/scaled-by-hpa", "--replicas=4")

    wait_until(lambda: chatbot.resource()["spec"]["replicas"] == 3, what="the most that the autoscaler allows", seconds=DECIDED_SECONDS)
    wait_until(lambda: chatbot.replicas() == 3, what="the Deployment's following", seconds=30)
    chatbot.wait_ready()
    assert chatbot.condition("ScaleOverridden") == {}


def test_horizontal_pod_autoscaler_finds_target_and_pods_and_lacks_metrics_alone(crowd: Crowd) -> None:
    """The metrics come from metrics-server, which is not here; it is asked once the scale and its selector were read."""

    def conditions() -> dict[str, dict[str, str]]:
        status = crowd.by_hpa.get("horizontalpodautoscaler", "scaled-by-hpa")["status"]
        return {condition["type"]: condition for condition in status.get("conditions", ())}

    wait_until(lambda: "ScalingActive" in conditions(), what="the autoscaler's asking for metrics", seconds=DECIDED_SECONDS)

    assert conditions()["AbleToScale"]["status"] == "True"
    assert conditions()["ScalingActive"]["reason"] == "FailedGetResourceMetric"
    assert "get pods.metrics.k8s.io" in conditions()["ScalingActive"]["message"]


def test_deployment_is_scaled_by_the_operator_alone(crowd: Crowd) -> None:
    deployment = crowd.by_hpa.get("deployment", "scaled-by-hpa", "--show-managed-fields")

    entries = deployment["metadata"]["managedFields"]
    assert {entry["manager"] for entry in entries if "f:replicas" in entry["fieldsV1"].get("f:spec", {})} == {"chatbot-operator"}


def test_pods_follow_the_load_within_the_bounds_and_nothing_else_but_zero(crowd: Crowd) -> None:
    by_load, bounded = crowd.by_load, crowd.bounded
    wait_until(lambda: by_load.replicas() == 3, what="a pod for every two requests in flight", seconds=DECIDED_SECONDS)
    wait_until(lambda: bounded.replicas() == 2, what="as many as are allowed", seconds=DECIDED_SECONDS)
    by_load.wait("jsonpath={.status.ready}=3/3")
    assert by_load.condition("ScaleOverridden")["status"] == "True"

    by_load.kubectl("scale", "chatbot/by-load", "--replicas=4")
    by_load.wait("jsonpath={.status.observedGeneration}=2")
    assert by_load.replicas() == 3

    bounded.kubectl("scale", "chatbot/bounded", "--replicas=0")
    wait_until(lambda: bounded.replicas() == 0, what="a stop", seconds=30)
    bounded.wait("jsonpath={.status.observedGeneration}=2")
    assert bounded.condition("ScaleOverridden") == {}

    crowd.streams.close()
    wait_until(lambda: by_load.replicas() == 1, what="as few as are allowed", seconds=DECIDED_SECONDS)
    by_load.wait("jsonpath={.status.ready}=1/1")
    assert bounded.replicas() == 0
