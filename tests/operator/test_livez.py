"""What `/livez` says of an operator whose parts stand still: the parts are real, their time is not."""

from collections.abc import AsyncIterator

import pytest
from kubernetes.aio.client.configuration import Configuration

from chatbot_operator.__main__ import STUCK_SECONDS, Operator
from chatbot_operator.cache import ResourceKey
from chatbot_operator.cluster import Cluster
from chatbot_operator.settings import Settings
from chatbot_operator.telemetry import Metrics
from tests.clock import Clock

KEY = ResourceKey("team", "bot")


@pytest.fixture
async def operator(clock: Clock) -> AsyncIterator[Operator]:
    cluster = Cluster(Configuration())
    yield Operator(cluster, Settings(service_image="general-purpose-chatbot:test"), Metrics(host="api", workers=1), clock=clock)
    await cluster.close()


async def test_operator_that_waits_for_something_to_do_is_alive(operator: Operator, clock: Clock) -> None:
    clock.now += 10 * STUCK_SECONDS

    assert list(operator.stuck()) == []


async def test_reconcile_that_does_not_end_is_named(operator: Operator, clock: Clock) -> None:
    operator._queue.add(KEY)
    operator._queue.pop()

    clock.now += STUCK_SECONDS + 1
    assert list(operator.stuck()) == ["a reconcile has been running for 301 s"]


async def test_queue_that_no_worker_serves_is_named_of_a_leader_alone(operator: Operator, clock: Clock) -> None:
    operator._queue.add(KEY)
    clock.now += STUCK_SECONDS + 1
    assert list(operator.stuck()) == []

    operator._note_leadership(leads=True)
    assert list(operator.stuck()) == ["no key has been taken from the queue for 301 s"]


async def test_loop_that_is_not_heard_of_is_named(operator: Operator, clock: Clock) -> None:
    operator._heartbeats.promise("informer Service", 300)

    clock.now += 301
    assert list(operator.stuck()) == ["informer Service should have been heard of 1 s ago"]
