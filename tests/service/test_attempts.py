"""Calls with the real client of the model's API, against the simulator: what reaches it, and what comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

import pytest

from chatbot_service.attempts import Call, OpenStream
from chatbot_service.calls import Calls
from chatbot_service.conversation import Answer, Delta, Finished, Started, Turn
from chatbot_service.errors import CircuitOpen, ClientLeft, DeadlinePassed, UpstreamOverloaded, UpstreamProblem, UpstreamRateLimited
from chatbot_service.lifeline import Lifeline, Lifelines
from chatbot_service.metrics import Metrics
from chatbot_service.resilience.budget import RetryBudget
from chatbot_service.settings import Settings
from chatbot_service.upstream import Upstream
from tests.conftest import Simulator

MAIN, SPARE = "claude-sonnet-5-5", "claude-haiku-5-5"
SWIFT = {"ANTHROPIC_INITIAL_BACKOFF": "1ms", "ANTHROPIC_MAX_BACKOFF": "2ms"}


@dataclass
class Line:
    """Calls to the simulator, the clock of their breakers, and the lifeline of the last one."""

    calls: Calls
    simulator: Simulator
    now: float = 0.0
    lifeline: Lifeline | None = None

    async def complete(self) -> Answer:
        with self._lifeline() as lifeline:
            return await self.calls.complete((Turn("user", "Hello"),), system=None, call=Call(lifeline, "id-1"))

    async def open(self) -> OpenStream:
        with self._lifeline() as lifeline:
            return await self.calls.open((Turn("user", "Hello"),), system=None, call=Call(lifeline, "id-1"))

    async def ask(self, *, stream: bool) -> None:
        """Get an answer, or the first content of a streamed one."""
        if not stream:
            await self.complete()
            return
        with closing(await self.open()):
            pass

    def cut(self, reason: ClientLeft | DeadlinePassed) -> None:
        assert self.lifeline is not None
        self.lifeline.cut(reason)

    @property
    def attempts(self) -> int:
        count: int = self.simulator.requests()["by_path"].get("/v1/messages", 0)
        return count

    def _lifeline(self) -> Lifeline:
        self.lifeline = Lifeline(asyncio.get_running_loop().time() + 30, Lifelines())
        return self.lifeline


@asynccontextmanager
async def line_to(simulator: Simulator, **variables: str) -> AsyncIterator[Line]:
    settings = Settings.from_environment({"ANTHROPIC_BASE_URL": simulator.url, "CLAUDE_MODEL": MAIN, **SWIFT, **variables})
    budget = RetryBudget(percent=settings.retry_budget_percent)
    upstream = Upstream(settings, may_resend=budget.take)
    upstream.use_key("demo")
    line = Line(Calls(upstream, settings, Metrics(), budget=budget, clock=lambda: line.now), simulator)
    try:
        yield line
    finally:
        await upstream.close()


async def read_to_the_end(stream: OpenStream) -> None:
    events = stream.first
    while not (events and isinstance(events[-1], Finished)):
        events = await stream.read()


both = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])


@both
@pytest.mark.parametrize("fault", [{"error": {"status": 500}}, {"error": {"status": 529}}, {"cut_at": 0}, {"garbage": True}], ids=str)
async def test_an_outage_is_asked_five_times_and_then_once_a_rest(simulator: Simulator, fault: dict[str, object], *, stream: bool) -> None:
    async with line_to(simulator) as line:
        simulator.behave(**fault)
        for expected in (UpstreamProblem, UpstreamProblem, *[CircuitOpen] * 20):
            with pytest.raises(expected):
                await line.ask(stream=stream)
        assert line.attempts == 5

        line.now += 33
        callers = [line.ask(stream=stream) for _ in range(50)]
        results = await asyncio.gather(*callers, return_exceptions=True)
        assert (line.attempts, sum(isinstance(result, CircuitOpen) for result in results)) == (6, 49)

        simulator.behave()
        line.now += 33
        await line.ask(stream=stream)
        await asyncio.gather(*[line.ask(stream=stream) for _ in range(10)])


@both
async def test_what_fails_twice_is_answered_the_third_time(simulator: Simulator, *, stream: bool) -> None:
    async with line_to(simulator) as line:
        simulator.behave(error={"status": 503, "next": 2})

        await line.ask(stream=stream)

        assert line.attempts == 3


async def test_an_overload_inside_a_stream_counts_as_one_before_it(simulator: Simulator) -> None:
    async with line_to(simulator) as line:
        simulator.behave(overload_at=2)

        with pytest.raises(UpstreamOverloaded):
            await line.open()

        assert line.attempts == 3
        simulator.wait_until(lambda counts: counts["open"] == 0)


async def test_a_stream_that_breaks_after_content_is_not_begun_again(simulator: Simulator) -> None:
    async with line_to(simulator) as line:
        simulator.behave(cut_at=6, pace="5ms")

        with closing(await line.open()) as stream:
            assert {type(event) for event in stream.first} == {Started, Delta}
            with pytest.raises(UpstreamProblem):
                await read_to_the_end(stream)

        assert line.attempts == 1


@both
@pytest.mark.parametrize("retry_after", ["11", "3600"])
async def test_a_rate_limit_that_lasts_is_handed_on(simulator: Simulator, retry_after: str, *, stream: bool) -> None:
    async with line_to(simulator) as line:
        simulator.behave(error={"status": 429, "retry_after": retry_after})

        with pytest.raises(UpstreamRateLimited) as caught:
            await line.ask(stream=stream)

        assert (line.attempts, caught.value.retry_after) == (1, int(retry_after))


async def test_a_fallback_model_answers_for_an_overloaded_one(simulator: Simulator) -> None:
    async with line_to(simulator, CLAUDE_FALLBACK_MODELS=SPARE) as line:
        simulator.behave(error={"status": 529, "next": 3})

        answer = await line.complete()

        assert (answer.model, line.attempts) == (SPARE, 4)


@both
@pytest.mark.parametrize("reason", [ClientLeft(), DeadlinePassed("too late")], ids=["client left", "deadline"])
async def test_what_nobody_waits_for_any_more_is_broken_off_at_once(
    simulator: Simulator, reason: ClientLeft | DeadlinePassed, *, stream: bool
) -> None:
    async with line_to(simulator) as line:
        simulator.behave(stall_at=1 if stream else 0)
        asked = asyncio.create_task(line.ask(stream=stream))
        await asyncio.to_thread(simulator.wait_until, lambda counts: counts["open"] == 1)

        line.cut(reason)
        with pytest.raises(type(reason)):
            await asked

        await asyncio.to_thread(simulator.wait_until, lambda counts: counts["open"] == 0 and counts["cancelled"] == 1)
