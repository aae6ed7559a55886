"""Events as the API server takes them."""

import json
import uuid

import pytest

from chatbot_operator.cluster import Cluster
from chatbot_operator.events import MAX_NOTE_BYTES, Recorder, Transition
from chatbot_operator.resource import Manifest
from devcluster.controlplane import ControlPlane
from tests.resources import manifest_of

pytestmark = pytest.mark.api


def events_in(plane: ControlPlane, namespace: str) -> list[Manifest]:
    listed = json.loads(plane.kubectl("get", "events.events.k8s.io", f"--namespace={namespace}", "--output=json"))
    items: list[Manifest] = listed["items"]
    return items


async def test_words_of_any_language_are_cut_to_what_an_event_holds(control_plane: ControlPlane, cluster: Cluster, namespace: str) -> None:
    words = "拒绝" * 200

    await Recorder(cluster, instance="test").record(manifest_of(namespace=namespace), Transition("Warning", "ApplyRefused", words))

    (event,) = events_in(control_plane, namespace)
    assert words.startswith(event["note"])
    assert MAX_NOTE_BYTES - 4 < len(event["note"].encode()) <= MAX_NOTE_BYTES


async def test_event_that_could_not_be_written_does_not_count_as_told(control_plane: ControlPlane, cluster: Cluster) -> None:
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    recorder, told = Recorder(cluster, instance="test"), Transition("Warning", "Conflict", "Taken.")
    await recorder.record(manifest_of(namespace=namespace), told)

    control_plane.kubectl("create", "namespace", namespace)
    for _ in range(2):
        await recorder.record(manifest_of(namespace=namespace), told)

    assert [event["reason"] for event in events_in(control_plane, namespace)] == ["Conflict"]
    control_plane.kubectl("delete", "namespace", namespace, "--wait=false")
