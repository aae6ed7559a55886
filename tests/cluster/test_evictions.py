"""What the drain of nodes does to a chatbot: its pods evicted one after the other by the eviction API, while somebody keeps asking."""

import json
from functools import partial

import pytest

from scripts.commands import Failed
from tests.cluster.places import Caller, Place, wait_until

pytestmark = pytest.mark.cluster

REPLICAS = 3
REPLACED_SECONDS = 60


def evict(place: Place, pod: str) -> None:
    """Ask for an eviction, as kubectl drain does; raises Failed when the budget does not allow it."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": place.namespace}}
    path = f"/api/v1/namespaces/{place.namespace}/pods/{pod}/eviction"
    place.tools.kubectl("create", f"--raw={path}", "--filename=-", stdin=json.dumps(eviction))


def is_evicted(place: Place, pod: str) -> bool:
    """Evict the pod if the budget allows it now."""
    try:
        evict(place, pod)
    except Failed as refusal:
        if "disruption budget" not in str(refusal):
            raise
        return False
    return True


def test_every_pod_is_evicted_in_turn_without_a_failed_request(place: Place) -> None:
    place.apply(replicas=REPLICAS)
    place.wait_ready()
    first, *others = place.ready_pods()

    with Caller(place.port(), pause_seconds=0.02) as caller:
        evict(place, first)
        with pytest.raises(Failed, match="disruption budget"):
            evict(place, others[0])
        for pod in others:
            wait_until(partial(is_evicted, place, pod), what=f"leave to evict {pod}", seconds=REPLACED_SECONDS)
        wait_until(lambda: len(set(place.ready_pods()) - {first, *others}) == REPLICAS, what="every pod replaced", seconds=REPLACED_SECONDS)

    assert set(caller.statuses) == {200}
