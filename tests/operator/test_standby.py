"""What an operator makes of what it sees, leading and standing by: the parts are real, nothing is asked of any API server."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from kubernetes.aio.client.configuration import Configuration

from chatbot_operator.__main__ import Operator
from chatbot_operator.cache import News, ObjectKey, ResourceKey
from chatbot_operator.cluster import Cluster
from chatbot_operator.fleet import FleetHealth
from chatbot_operator.informer import Change
from chatbot_operator.poll_state import PolledPods
from chatbot_operator.queue import BEAT_SECONDS
from chatbot_operator.resource import KIND, Manifest
from chatbot_operator.settings import Settings
from chatbot_operator.telemetry import Metrics
from chatbot_operator.triggers import CALM_SECONDS
from tests.clock import Clock

KEY = ResourceKey("team", "bot")
RESOURCE: Manifest = {
    "kind": KIND,
    "metadata": {"namespace": "team", "name": "bot", "uid": "1", "resourceVersion": "1", "generation": 1},
    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(host="api", workers=1)


@pytest.fixture
async def operator(metrics: Metrics, clock: Clock) -> AsyncIterator[Operator]:
    cluster = Cluster(Configuration())
    yield Operator(cluster, Settings(service_image="general-purpose-chatbot:test", leader_election=False), metrics, clock=clock)
    await cluster.close()


def see(operator: Operator) -> None:
    """Let the operator see a resource and its pods' addresses."""
    operator._cache.put(RESOURCE)
    operator._triggers.resource_changed(KEY, News.INTENT)
    operator._triggers.owned_changed(Change(ObjectKey("EndpointSlice", "team", "bot-1"), KEY, News.INTENT))


def value(metrics: Metrics, metric: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(metric, labels)


def depth(metrics: Metrics) -> float | None:
    return value(metrics, "workqueue_depth", name="chatbotdeployment")


def ready(metrics: Metrics) -> float | None:
    return value(metrics, "chatbot_condition", namespace="team", name="bot", type="Ready", status="True")


async def test_standby_gathers_no_work_and_shows_no_conditions(operator: Operator, metrics: Metrics) -> None:
    see(operator)

    assert value(metrics, "leader_election_master_status", name="chatbot-operator") == 0
    assert depth(metrics) == 0
    assert ready(metrics) is None
    assert not operator._prober._pods


async def test_leader_has_work_and_shows_conditions_until_its_term_is_over(operator: Operator, metrics: Metrics) -> None:
    operator._begin_term()
    see(operator)
    assert depth(metrics) == 1
    assert ready(metrics) == 1

    operator._reconciler._not_ready_since[KEY] = 0.0
    assert operator._reconciler.attention_seconds(KEY) is not None

    operator._end_term()

    assert operator._reconciler.attention_seconds(KEY) is None
    assert depth(metrics) == 0
    assert ready(metrics) is None


async def test_new_leader_looks_at_what_nobody_acted_upon_at_once(operator: Operator, metrics: Metrics) -> None:
    see(operator)

    operator._begin_term()

    assert depth(metrics) == 1


async def test_new_leader_lets_pods_speak_before_it_looks_at_the_rest(operator: Operator, metrics: Metrics, clock: Clock) -> None:
    operator._cache.put({**RESOURCE, "status": {"observedGeneration": 1}})

    operator._begin_term()

    assert depth(metrics) == 0
    clock.now += CALM_SECONDS + BEAT_SECONDS
    assert operator._queue.pop() == KEY


async def test_passes_and_polls_for_what_comes_in_numbers_wait_for_the_beat(operator: Operator, clock: Clock) -> None:
    operator._begin_term()
    operator._cache.put(RESOURCE)
    clock.now = 10_000.1
    operator._triggers.owned_changed(Change(ObjectKey("EndpointSlice", "team", "bot-1"), KEY, News.INTENT))

    assert operator._prober._plans == [(10_001.0, KEY)]
    clock.now = 10_002.4
    assert operator._queue.pop() is None
    clock.now = 10_002.5
    assert operator._queue.pop() == KEY


async def test_first_pass_of_a_term_knows_nothing_of_what_pods_said_in_an_earlier_one(operator: Operator) -> None:
    operator._cache.put(RESOURCE)
    operator._prober._pods[KEY] = PolledPods("1", health=FleetHealth())
    known: asyncio.Future[FleetHealth | None] = asyncio.get_running_loop().create_future()
    operator._queue.on_started = lambda _waited: known.set_result(operator._prober.health(KEY))

    term = asyncio.create_task(operator._lead())
    health = await known
    term.cancel()
    await asyncio.gather(term, return_exceptions=True)

    assert health is None
