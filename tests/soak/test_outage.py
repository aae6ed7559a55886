"""The model's API is out, in every way that it can be: what is asked of it meanwhile, how soon clients are told, and the recovery."""

import asyncio
import itertools
import time

import durationpy
import orjson
import pytest

from tests.conftest import Simulator, scheduling_lags, start_simulator
from tests.service.conftest import Service
from tests.soak.conftest import percentile, size, start_unlimited
from tests.soak.load import Answer, Connection, chat, in_parallel

pytestmark = pytest.mark.soak

OUTAGE_SECONDS = size(quick=1.5, full=30.0)
CLIENTS = 40
PACE_SECONDS = 0.1
DEADLINE_SECONDS = 1.0
LATE_SECONDS = 0.1
REJECTION_SECONDS = 0.005
TIMES = {
    "REQUEST_TIMEOUT": "1s",
    "UPSTREAM_CONNECT_TIMEOUT": "300ms",
    "UPSTREAM_FIRST_BYTE_TIMEOUT": "400ms",
    "UPSTREAM_IDLE_TIMEOUT": "400ms",
    "ANTHROPIC_INITIAL_BACKOFF": "50ms",
    "ANTHROPIC_MAX_BACKOFF": "200ms",
    "BREAKER_RESET_TIMEOUT": "500ms",
}
NO_BREAKER = {"BREAKER_FAILURE_THRESHOLD": "1000000"}
OUTAGES: dict[str, dict[str, object]] = {
    "overloaded": {"error": {"status": 529}},
    "failing": {"error": {"status": 500}},
    "hanging": {"stall_at": 0},
    "hanging half way": {"stall_at": 1},
    "cutting": {"cut_at": 0},
    "garbage": {"garbage": True},
}


@pytest.mark.parametrize("breaker", [{}, NO_BREAKER], ids=["with a breaker", "by the budget alone"])
async def test_outages_are_borne_and_pass(simulator: Simulator, breaker: dict[str, str]) -> None:
    spared = breaker is not NO_BREAKER
    with start_unlimited(simulator.url, **TIMES, **breaker) as service:
        for name, faults in OUTAGES.items():
            simulator.behave(**faults)
            simulator.forget()

            asked = await ask_through_an_outage(service, name, spared=spared)

            attempts = simulator.requests()["by_path"]["/v1/messages"]
            most = asked / 2 if spared else 1.2 * asked + 10
            assert attempts <= most, f"{name}: {attempts} attempts for {asked} requests"
            assert spared or attempts > asked, f"{name}: nothing was tried again"
            simulator.behave()
            await recover(service)


async def test_an_api_that_is_gone_comes_back(simulator: Simulator) -> None:
    with start_simulator() as first:
        port = first.url.rpartition(":")[2]
        with start_unlimited(first.url, **TIMES) as service:
            await recover(service)
            first.process.kill()
            first.process.wait()

            await ask_through_an_outage(service, "gone", spared=True)

            with start_simulator("--port", port):
                await recover(service)


async def ask_through_an_outage(service: Service, name: str, *, spared: bool) -> int:
    """Ask all the time, every second request for a stream, and return how often.

    Every answer is an error, none is late; when the API is `spared` by the breaker most are rejections, and those are quick.
    """
    end = time.monotonic() + OUTAGE_SECONDS
    answers: list[Answer] = []
    modes = itertools.cycle((False, True, True, False))

    async def work(connection: Connection) -> None:
        for stream in itertools.cycle((next(modes), next(modes))):
            answers.append(await connection.ask(chat(stream=stream)))
            if time.monotonic() > end:
                return
            await asyncio.sleep(PACE_SECONDS)

    with scheduling_lags() as lags:
        await in_parallel(service.port, CLIENTS, work)

    assert {answer.status for answer in answers} <= {502, 503, 504}, name
    assert service.ready()
    documents = [orjson.loads(answer.body) for answer in answers]
    spent = await asyncio.to_thread(seconds_by_request, service, {document["correlation_id"] for document in documents})
    assert max(spent.values()) <= DEADLINE_SECONDS + LATE_SECONDS + max(lags), name
    rejections = [spent[document["correlation_id"]] for document in documents if document["code"] == "circuit_open"]
    if spared:
        assert service.request("GET", "/health").json["status"] == "degraded"
        assert len(rejections) > len(answers) / 2, name
        assert percentile(rejections, 99) <= REJECTION_SECONDS + max(lags), name
    return len(answers)


def seconds_by_request(service: Service, wanted: set[str]) -> dict[str, float]:
    """Return how long the service says that it took for each `wanted` correlation id; a line may come later than its answer."""
    spent: dict[str, float] = {}

    def complete() -> bool:
        lines = [line for line in service.log("HTTP request completed") if line["correlation_id"] in wanted]
        spent.update({line["correlation_id"]: durationpy.from_str(line["duration"]).total_seconds() for line in lines})
        return wanted <= spent.keys()

    service.wait_until(complete, seconds=10)
    return spent


async def recover(service: Service) -> None:
    """Wait until the service answers again; then it answers everybody."""
    await asyncio.to_thread(service.wait_until, lambda: service.chat().status == 200, seconds=10)

    async def work(connection: Connection) -> None:
        assert (await connection.ask(chat())).status == 200

    await in_parallel(service.port, CLIENTS, work)
