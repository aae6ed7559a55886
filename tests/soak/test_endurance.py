"""Many requests, many of them abandoned: what the process holds stays the same."""

import asyncio
import itertools
import statistics

import pytest

from tests.conftest import Simulator
from tests.service.conftest import Service
from tests.soak.conftest import MIB, Vitals, gauge, size, start_unlimited, unharmed, vitals
from tests.soak.load import Connection, chat, get, in_parallel, post

pytestmark = pytest.mark.soak

REQUESTS = size(quick=5_000, full=200_000)
ABANDONED = size(quick=500, full=10_000)
ROUNDS = 10
GROWTH_BYTES = size(quick=3, full=6) * MIB
WARM_UP_ROUNDS = 3
CONNECTIONS = 16
MIX = [
    *[(chat(), 200)] * 6,
    *[(chat(stream=True), 200)] * 3,
    (get("/health"), 200),
    (get("/nowhere"), 404),
    (post("/api/chat", b"{"), 400),
    (post("/api/chat", b"{}"), 422),
]


async def test_what_the_process_holds_stays_flat(simulator: Simulator, capfd: pytest.CaptureFixture[str]) -> None:
    simulator.behave(pace="5ms", events=4)
    with start_unlimited(simulator.url) as service, unharmed(service, capfd, growth_bytes=64 * MIB):
        samples = [await one_round(service, simulator) for _ in range(ROUNDS)][WARM_UP_ROUNDS:]

    assert max(sample.tasks for sample in samples) - samples[0].tasks <= 1
    assert max(sample.descriptors for sample in samples) - samples[0].descriptors <= CONNECTIONS
    assert growth([sample.rss_bytes for sample in samples]) < GROWTH_BYTES


async def one_round(service: Service, simulator: Simulator) -> Vitals:
    """Load the service, and return what it holds when everybody has left."""
    mix = itertools.cycle(MIX)
    asks = iter(range(REQUESTS // ROUNDS))
    leaves_every = REQUESTS // ABANDONED

    async def work(connection: Connection) -> None:
        for number in asks:
            request, status = next(mix)
            assert (await connection.ask(request)).status == status
            if number % leaves_every == 0:
                await connection.abandon(chat(stream=True), after_bytes=number // leaves_every % 2)

    await in_parallel(service.port, CONNECTIONS, work)
    await asyncio.to_thread(simulator.wait_until, lambda counts: counts["open"] == 0)
    await asyncio.to_thread(service.wait_until, lambda: gauge(service, "chatbot_requests_in_flight") == 0, seconds=10)
    return vitals(service)


def growth(values: list[int]) -> float:
    """Return what a straight line through `values` gains from the first to the last."""
    slope, _ = statistics.linear_regression(range(len(values)), values)
    return slope * (len(values) - 1)
