"""Calls against a model's API that does what a script says: what is asked, in which order, and what is made of it."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from chatbot_service.attempts import Call, OpenStream
from chatbot_service.calls import Calls
from chatbot_service.conversation import Answer, Conversation, Delta, Event, Finished, Started, Turn, Usage
from chatbot_service.errors import (
    CircuitOpen,
    ClientLeft,
    DeadlinePassed,
    UpstreamFailed,
    UpstreamGarbage,
    UpstreamOverloaded,
    UpstreamProblem,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamRefusedRequest,
    UpstreamRefusedSize,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from chatbot_service.exposition import Exposition
from chatbot_service.lifeline import Lifeline, Lifelines
from chatbot_service.metrics import Metrics
from chatbot_service.resilience.breaker import Breaker
from chatbot_service.resilience.budget import RetryBudget
from chatbot_service.settings import Settings

CONVERSATION: Conversation = (Turn("user", "Hello"),)
MAIN, SPARE, LAST = "main-model", "spare-model", "last-model"
DONE = Finished("end_turn", Usage(1, 1))
FAILED = "anthropic api call failed"
RETRYING = "anthropic api call failed, retrying"

T = TypeVar("T")
Step = list[Event] | UpstreamProblem | Exception


class ScriptedReply:
    """Gives its steps one by one; at the end it waits for ever."""

    def __init__(self, steps: list[Step], waiting: asyncio.Event) -> None:
        self.steps = steps
        self.waiting = waiting
        self.closed = False

    async def read(self) -> list[Event]:
        if not self.steps:
            self.waiting.set()
            await asyncio.Event().wait()
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def close(self) -> None:
        self.closed = True


class ScriptedUpstream:
    """Fails as it is told, by model, and answers well after that; `held` attempts wait before they do either."""

    def __init__(self) -> None:
        self.failures: dict[str, list[Exception]] = defaultdict(list)
        self.streams: list[list[Step]] = []
        self.replies: list[ScriptedReply] = []
        self.asked: list[str] = []
        self.timeouts: list[float] = []
        self.asking = asyncio.Event()
        self.waiting = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()

    async def complete(self, model: str, conversation: Conversation, *, system: str | None, timeout_seconds: float) -> Answer:
        assert (conversation, system) == (CONVERSATION, "Be brief.")
        self.timeouts.append(timeout_seconds)
        await self._ask(model)
        return Answer("m", model, "Hi", "end_turn", Usage(1, 1))

    async def open(self, model: str, conversation: Conversation, *, system: str | None) -> ScriptedReply:
        assert (conversation, system) == (CONVERSATION, "Be brief.")
        await self._ask(model)
        reply = ScriptedReply(self.streams.pop(0) if self.streams else [[Started("m", model)], [Delta("Hi")], [DONE]], self.waiting)
        self.replies.append(reply)
        return reply

    async def _ask(self, model: str) -> None:
        self.asked.append(model)
        self.asking.set()
        await self.free.wait()
        if self.failures[model]:
            raise self.failures[model].pop(0)


class Bench:
    """Calls with a clock and a sleep that cost no time, and chance that is always one half."""

    def __init__(self, **environ: str) -> None:
        self.now = 0.0
        self.waits: list[float] = []
        self.during_wait: Callable[[], None] = lambda: None
        self.upstream = ScriptedUpstream()
        self.metrics = Metrics()
        settings = Settings.from_environment({"CLAUDE_MODEL": MAIN, **environ})
        budget = RetryBudget(percent=settings.retry_budget_percent)
        self.calls = Calls(
            self.upstream, settings, self.metrics, budget=budget, clock=lambda: self.now, chance=lambda: 0.5, sleep=self._sleep
        )
        self.lifeline: Lifeline | None = None

    @property
    def breaker(self) -> Breaker:
        return self.calls.breakers[MAIN]

    @property
    def state(self) -> str:
        return self.breaker.state.value

    async def complete(self, *, seconds: float = 30) -> Answer:
        return await self._within(seconds, self.calls.complete)

    async def open(self, *, seconds: float = 30) -> OpenStream:
        return await self._within(seconds, self.calls.open)

    async def failing(self, kind: type[Exception]) -> Exception:
        """Make one call, which must fail; return its error."""
        with pytest.raises(kind) as caught:
            await self.complete()
        return caught.value

    def trip(self, model: str = MAIN) -> None:
        """Open the breaker of `model`."""
        while not self.calls.breakers[model].rejecting:
            self.calls.breakers[model].admit().fail()

    def rest(self) -> None:
        """Let it be time for a probe."""
        self.now += 33

    def counted(self, error_type: str) -> float | None:
        """Return how many attempts at the main model ended with `error_type`, which is empty for those that went well."""
        labels = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "anthropic", "gen_ai_request_model": MAIN}
        name = "gen_ai_client_operation_duration_seconds_count"
        return Exposition(self.metrics).registry.get_sample_value(name, {**labels, "error_type": error_type})

    async def _within(self, seconds: float, ask: Callable[..., Awaitable[T]]) -> T:
        with Lifeline(asyncio.get_running_loop().time() + seconds, Lifelines()) as lifeline:
            self.lifeline = lifeline
            return await ask(CONVERSATION, system="Be brief.", call=Call(lifeline, "id-1"))

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.during_wait()


def lines(log: list[EventDict], event: str) -> list[EventDict]:
    return [line for line in log if line["event"] == event]


def failures(count: int, kind: type[UpstreamProblem] = UpstreamFailed) -> list[Exception]:
    return [kind(f"number {number}", upstream_status=500, request_id="req_1") for number in range(1, count + 1)]


async def test_a_call_that_goes_well_is_one_attempt() -> None:
    bench = Bench()

    with capture_logs() as log:
        answer = await bench.complete()

    assert (answer.text, bench.upstream.asked, bench.waits, log) == ("Hi", [MAIN], [], [])


async def test_failures_are_tried_again_after_growing_waits_and_logged_once_each() -> None:
    bench = Bench()
    bench.upstream.failures[MAIN] = failures(2)

    with capture_logs() as log:
        answer = await bench.complete()

    assert (answer.text, bench.upstream.asked, bench.waits) == ("Hi", [MAIN] * 3, [0.5, 1.0])
    assert log == [
        {
            "event": RETRYING,
            "log_level": "warning",
            "correlation_id": "id-1",
            "model": MAIN,
            "breaker": "closed",
            "error_type": "api_error",
            "upstream_status": 500,
            "upstream_request_id": "req_1",
            "attempt": attempt,
            "max_attempts": 3,
            "wait": wait,
        }
        for attempt, wait in [(1, "500ms"), (2, "1s")]
    ]


async def test_after_the_last_attempt_the_last_error_stands_and_is_logged_once() -> None:
    bench = Bench()
    bench.upstream.failures[MAIN] = failures(4)

    with capture_logs() as log:
        error = await bench.failing(UpstreamFailed)

    assert (str(error), bench.upstream.asked) == ("number 3", [MAIN] * 3)
    [line] = lines(log, FAILED)
    assert (line["log_level"], line["attempts"], line["breaker"], line["correlation_id"]) == ("error", 3, "closed", "id-1")
    assert "number 3" in line["stack_trace"]
    assert len(lines(log, RETRYING)) == 2


async def test_a_refusal_is_not_tried_again() -> None:
    bench = Bench()
    bench.upstream.failures[MAIN] = [UpstreamRefused("no")]

    with capture_logs() as log:
        await bench.failing(UpstreamRefused)

    assert (bench.upstream.asked, [line["attempts"] for line in lines(log, FAILED)]) == ([MAIN], [1])


@pytest.mark.parametrize("kind", [UpstreamRefusedRequest, UpstreamRefusedSize])
async def test_what_the_client_asked_wrongly_is_logged_but_no_error(kind: type[UpstreamProblem]) -> None:
    bench = Bench()
    bench.upstream.failures[MAIN] = [kind("no")]

    with capture_logs() as log:
        await bench.failing(kind)

    [line] = lines(log, FAILED)
    assert line["log_level"] == "info"
    assert "stack_trace" not in line


async def test_a_near_retry_after_is_waited_for() -> None:
    bench = Bench()
    bench.upstream.failures[MAIN] = [UpstreamRateLimited("slow down", retry_after_seconds=4)]

    await bench.complete()

    assert bench.waits == [pytest.approx(4.2)]


async def test_the_number_of_attempts_is_a_setting() -> None:
    bench = Bench(ANTHROPIC_MAX_RETRIES="1")
    bench.upstream.failures[MAIN] = failures(2)

    await bench.failing(UpstreamFailed)

    assert bench.upstream.asked == [MAIN]


async def test_retries_end_where_the_budget_does() -> None:
    bench = Bench(BREAKER_FAILURE_THRESHOLD="1000000")
    bench.upstream.failures[MAIN] = failures(1000)

    for _ in range(100):
        await bench.failing(UpstreamFailed)

    assert len(bench.upstream.asked) == 100 + 10 - 1 + 20  # the first request's share is lost: the bucket was full


async def test_nothing_is_asked_when_too_little_time_is_left() -> None:
    bench = Bench()

    with pytest.raises(DeadlinePassed):
        await bench.complete(seconds=0.5)

    assert bench.upstream.asked == []


async def test_a_short_request_timeout_still_gets_its_attempt() -> None:
    bench = Bench(REQUEST_TIMEOUT="800ms", UPSTREAM_FIRST_BYTE_TIMEOUT="500ms", UPSTREAM_CONNECT_TIMEOUT="500ms")

    answer = await bench.complete(seconds=0.8)

    assert answer.text == "Hi"


async def test_time_that_runs_out_while_waiting_does_not_hide_the_error() -> None:
    bench = Bench()
    bench.upstream.failures[MAIN] = failures(1)

    def lose_time() -> None:
        assert bench.lifeline is not None
        bench.lifeline.extend(asyncio.get_running_loop().time() + 0.9)

    bench.during_wait = lose_time

    error = await bench.failing(UpstreamFailed)

    assert (str(error), bench.upstream.asked) == ("number 1", [MAIN])


async def test_a_breaker_that_opens_while_waiting_does_not_hide_the_error() -> None:
    bench = Bench()
    bench.upstream.failures[MAIN] = failures(1)
    bench.during_wait = bench.trip

    with capture_logs() as log:
        error = await bench.failing(UpstreamFailed)

    assert (str(error), bench.upstream.asked) == ("number 1", [MAIN])
    assert [(line["attempts"], line["breaker"]) for line in lines(log, FAILED)] == [(1, "open")]


async def test_the_fifth_failed_attempt_opens_the_breaker_and_is_not_waited_after() -> None:
    bench = Bench()
    bench.upstream.failures[MAIN] = failures(100)

    await bench.failing(UpstreamFailed)
    assert (len(bench.upstream.asked), bench.state) == (3, "closed")
    with capture_logs() as log:
        await bench.failing(UpstreamFailed)

    assert (len(bench.upstream.asked), len(bench.waits), bench.state) == (5, 3, "open")
    assert lines(log, "circuit breaker opened") == [
        {"event": "circuit breaker opened", "log_level": "warning", "model": MAIN, "trips": 1},
    ]


async def test_an_open_breaker_rejects_without_asking_or_complaining() -> None:
    bench = Bench()
    bench.trip()

    with capture_logs() as log:
        error = await bench.failing(CircuitOpen)

    assert isinstance(error, CircuitOpen)
    assert (error.status, error.retry_after, bench.upstream.asked) == (503, 32, [])
    assert [line["log_level"] for line in log] == ["debug"]


@pytest.mark.parametrize("kind", [UpstreamFailed, UpstreamUnreachable, UpstreamGarbage, UpstreamOverloaded, UpstreamTimeout])
async def test_what_the_api_is_to_blame_for_opens_the_breaker(kind: type[UpstreamProblem]) -> None:
    bench = Bench(ANTHROPIC_MAX_RETRIES="1")
    bench.upstream.failures[MAIN] = failures(5, kind)

    for _ in range(5):
        await bench.failing(kind)

    assert bench.state == "open"


@pytest.mark.parametrize("kind", [UpstreamRefused, UpstreamRefusedRequest, UpstreamRateLimited])
async def test_what_it_is_not_to_blame_for_does_not(kind: type[UpstreamProblem]) -> None:
    bench = Bench(ANTHROPIC_MAX_RETRIES="1")
    bench.upstream.failures[MAIN] = [*failures(4), *failures(20, kind)]

    for expected in [UpstreamFailed] * 4 + [kind] * 20:
        await bench.failing(expected)

    assert bench.state == "closed"
    bench.upstream.failures[MAIN] = failures(1)
    await bench.failing(UpstreamFailed)
    assert bench.state == "open"


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_a_thousand_callers_at_half_open_ask_once(*, stream: bool) -> None:
    bench = Bench()
    bench.trip()
    bench.rest()
    bench.upstream.free.clear()

    with capture_logs() as log:
        probe, *others = [asyncio.ensure_future(bench.open() if stream else bench.complete()) for _ in range(1000)]
        rejections = await asyncio.gather(*others, return_exceptions=True)
        bench.upstream.free.set()
        await probe

    assert bench.upstream.asked == [MAIN]
    assert [type(rejection) for rejection in rejections] == [CircuitOpen] * 999
    assert bench.state == "closed"
    assert [line["event"] for line in log if line["log_level"] != "debug"] == ["circuit breaker half-open", "circuit breaker closed"]


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_a_probe_whose_client_leaves_frees_its_place(*, stream: bool) -> None:
    bench = Bench()
    bench.trip()
    bench.rest()
    bench.upstream.free.clear()
    probe = asyncio.ensure_future(bench.open() if stream else bench.complete())
    await bench.upstream.asking.wait()

    assert bench.lifeline is not None
    bench.lifeline.cut(ClientLeft())
    with pytest.raises(ClientLeft):
        await probe

    assert (bench.state, bench.breaker.rejecting) == ("half_open", False)
    bench.upstream.free.set()
    await bench.complete()
    assert bench.state == "closed"


async def test_a_probe_that_ends_in_an_error_of_our_own_frees_its_place() -> None:
    bench = Bench()
    bench.trip()
    bench.rest()
    bench.upstream.failures[MAIN] = [ZeroDivisionError()]

    await bench.failing(ZeroDivisionError)

    assert (bench.state, bench.breaker.rejecting) == ("half_open", False)


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize(("ran_seconds", "state"), [(14.9, "closed"), (15.0, "open")])
async def test_an_attempt_that_the_deadline_cuts_counts_once_its_own_time_is_over(ran_seconds: float, state: str, *, stream: bool) -> None:
    bench = Bench(BREAKER_FAILURE_THRESHOLD="1")
    bench.upstream.free.clear()
    asked = asyncio.ensure_future(bench.open() if stream else bench.complete())
    await bench.upstream.asking.wait()
    bench.now += ran_seconds

    assert bench.lifeline is not None
    with capture_logs() as log:
        bench.lifeline.cut(DeadlinePassed("too late"))
        with pytest.raises(DeadlinePassed):
            await asked

    assert bench.state == state
    assert [line["error_type"] for line in lines(log, FAILED)] == ["timeout"]


async def test_an_attempts_own_timeout_is_never_what_ends_it_at_the_deadline() -> None:
    bench = Bench()

    await bench.complete(seconds=10)

    assert 10 < bench.upstream.timeouts[0] < 12


async def test_a_stream_is_handed_on_from_its_first_content() -> None:
    bench = Bench()
    bench.upstream.streams = [[[], [Started("m", MAIN)], [], [Delta("a"), Delta("b")], [], [Delta("c")], [DONE]]]

    stream = await bench.open()
    rest = [await stream.read() for _ in range(3)]
    stream.close()

    assert stream.first == [Started("m", MAIN), Delta("a"), Delta("b")]
    assert rest == [[], [Delta("c")], [DONE]]
    assert bench.upstream.replies[0].closed


async def test_an_answer_in_a_single_read_is_whole() -> None:
    bench = Bench(BREAKER_FAILURE_THRESHOLD="2")
    bench.breaker.admit().fail()
    bench.upstream.streams = [[[Started("m", MAIN), DONE]]]

    stream = await bench.open()
    stream.close()

    bench.breaker.admit().fail()
    assert (stream.first[-1], bench.state) == (DONE, "closed")


@pytest.mark.parametrize("before", [[], [[Started("m", MAIN)]]], ids=["at once", "after the start"])
async def test_an_overload_inside_a_stream_is_tried_again_before_any_content(before: list[Step]) -> None:
    bench = Bench()
    bench.upstream.streams = [[*before, UpstreamOverloaded("busy", upstream_status=529)]]

    stream = await bench.open()
    stream.close()

    assert bench.upstream.asked == [MAIN] * 2
    assert [reply.closed for reply in bench.upstream.replies] == [True, True]
    assert [event for event in stream.first if isinstance(event, Started)] == [Started("m", MAIN)]


async def test_a_stream_that_breaks_after_content_is_never_tried_again() -> None:
    bench = Bench(BREAKER_FAILURE_THRESHOLD="1", CLAUDE_FALLBACK_MODELS=SPARE)
    bench.upstream.streams = [[[Started("m", MAIN), Delta("a")], UpstreamOverloaded("busy", request_id="req_1")]]
    stream = await bench.open()

    with capture_logs() as log, pytest.raises(UpstreamOverloaded):
        await stream.read()
    stream.close()

    assert (bench.upstream.asked, bench.waits, bench.state) == ([MAIN], [], "open")
    [line] = lines(log, FAILED)
    assert (line["attempts"], line["upstream_request_id"], line["correlation_id"]) == (1, "req_1", "id-1")


async def test_a_stream_is_judged_at_its_end_and_a_left_one_not_at_all() -> None:
    bench = Bench(BREAKER_FAILURE_THRESHOLD="2")
    broken: list[Step] = [[Delta("a")], UpstreamUnreachable("cut")]
    bench.upstream.streams = [list(broken), [[Delta("a")]], list(broken)]

    for _ in range(3):
        stream = await bench.open()
        if bench.upstream.replies[-1].steps:
            with pytest.raises(UpstreamUnreachable):
                await stream.read()
        stream.close()

    assert bench.state == "open"


async def test_a_stream_that_outlasts_its_whole_time_is_not_the_apis_fault_but_is_logged() -> None:
    bench = Bench(BREAKER_FAILURE_THRESHOLD="1")
    bench.upstream.streams = [[[Delta("a")]]]

    async def read_on() -> None:
        with Lifeline(asyncio.get_running_loop().time() + 30, Lifelines()) as lifeline:
            stream = await bench.calls.open(CONVERSATION, system="Be brief.", call=Call(lifeline, "id-1"))
            bench.now += 600
            asyncio.get_running_loop().call_soon(lifeline.expire)
            try:
                await stream.read()
            finally:
                stream.close()

    with capture_logs() as log, pytest.raises(DeadlinePassed):
        await read_on()

    assert bench.state == "closed"
    assert [line["error_type"] for line in lines(log, FAILED)] == ["timeout"]


async def test_a_client_that_leaves_before_the_first_content_ends_the_stream_at_once() -> None:
    bench = Bench()
    bench.upstream.streams = [[[Started("m", MAIN)]]]
    asked = asyncio.ensure_future(bench.open())
    await bench.upstream.waiting.wait()

    assert bench.lifeline is not None
    with capture_logs() as log:
        bench.lifeline.cut(ClientLeft())
        with pytest.raises(ClientLeft):
            await asked

    assert (bench.upstream.replies[0].closed, log) == (True, [])


async def test_a_probing_stream_closes_the_breaker_with_its_first_content() -> None:
    bench = Bench()
    bench.trip()
    bench.rest()

    stream = await bench.open()
    state = bench.state
    stream.close()

    assert state == "closed"


async def test_attempts_and_retries_are_counted() -> None:
    bench = Bench()
    bench.upstream.failures[MAIN] = [UpstreamOverloaded("busy"), UpstreamUnreachable("gone")]
    await bench.complete()
    stream = await bench.open()
    while await stream.read() != [DONE]:
        pass
    stream.close()
    bench.upstream.free.clear()
    bench.upstream.asking.clear()
    asked = asyncio.ensure_future(bench.complete())
    await bench.upstream.asking.wait()
    assert bench.lifeline is not None
    bench.lifeline.cut(DeadlinePassed("too late"))
    with pytest.raises(DeadlinePassed):
        await asked

    assert {kind: bench.counted(kind) for kind in ("", "overloaded_error", "connection_error", "timeout")} == {
        "": 2,
        "overloaded_error": 1,
        "connection_error": 1,
        "timeout": 1,
    }
    assert Exposition(bench.metrics).registry.get_sample_value("chatbot_upstream_retries_total", {"model": MAIN}) == 2


FALLBACKS = {"CLAUDE_FALLBACK_MODELS": f"{SPARE},{LAST}"}


async def test_fallback_models_are_asked_once_each_in_order_after_an_overload() -> None:
    bench = Bench(**FALLBACKS)
    bench.upstream.failures[MAIN] = failures(3, UpstreamOverloaded)
    bench.upstream.failures[SPARE] = failures(1)

    with capture_logs() as log:
        answer = await bench.complete()

    assert (answer.model, bench.upstream.asked) == (LAST, [MAIN, MAIN, MAIN, SPARE, LAST])
    assert [(line["event"], line["model"]) for line in log[2:]] == [("fallback model failed", SPARE), ("fallback model answers", LAST)]
    assert lines(log, FAILED) == []


async def test_a_fallback_model_streams_as_well() -> None:
    bench = Bench(**FALLBACKS)
    bench.trip()

    stream = await bench.open()
    stream.close()

    assert bench.upstream.asked == [SPARE]


@pytest.mark.parametrize("kind", [UpstreamFailed, UpstreamTimeout, UpstreamRefusedRequest, UpstreamRateLimited])
async def test_other_errors_fall_back_to_nothing_while_the_breaker_is_closed(kind: type[UpstreamProblem]) -> None:
    bench = Bench(**FALLBACKS)
    bench.upstream.failures[MAIN] = failures(3, kind)

    await bench.failing(kind)

    assert set(bench.upstream.asked) == {MAIN}


@pytest.mark.parametrize(("kind", "asked"), [(UpstreamFailed, [MAIN, SPARE]), (UpstreamRefusedRequest, [MAIN])])
async def test_a_failure_with_the_breaker_open_falls_back_a_refusal_of_the_request_does_not(
    kind: type[UpstreamProblem], asked: list[str]
) -> None:
    bench = Bench(**FALLBACKS)
    bench.upstream.failures[MAIN] = failures(1, kind)
    bench.upstream.free.clear()
    call = asyncio.ensure_future(bench.complete())
    await bench.upstream.asking.wait()

    bench.trip()
    bench.upstream.free.set()
    await asyncio.wait([call])

    assert bench.upstream.asked == asked
    assert isinstance(call.exception(), UpstreamRefusedRequest) is (asked == [MAIN])


async def test_when_all_fail_the_error_is_the_primarys() -> None:
    bench = Bench(**FALLBACKS)
    bench.upstream.failures = defaultdict(list, {MAIN: failures(3, UpstreamOverloaded), SPARE: failures(1), LAST: failures(1)})

    with capture_logs() as log:
        error = await bench.failing(UpstreamOverloaded)

    assert str(error) == "number 3"
    assert [(line["model"], line["attempts"]) for line in lines(log, FAILED)] == [(MAIN, 5)]


async def test_when_the_breaker_is_open_and_all_fail_the_rejection_stands() -> None:
    bench = Bench(**FALLBACKS)
    bench.trip()
    bench.upstream.failures = defaultdict(list, {SPARE: failures(1), LAST: failures(1)})

    await bench.failing(CircuitOpen)

    assert bench.upstream.asked == [SPARE, LAST]


async def test_a_fallback_model_has_a_breaker_of_its_own() -> None:
    bench = Bench(RETRY_BUDGET_PERCENT="100", **FALLBACKS)
    bench.trip(MAIN)
    bench.upstream.failures[SPARE] = failures(100)

    for _ in range(7):
        await bench.complete()

    assert bench.upstream.asked == [SPARE, LAST] * 5 + [LAST] * 2
    assert {model: breaker.state.value for model, breaker in bench.calls.breakers.items()} == {MAIN: "open", SPARE: "open", LAST: "closed"}


async def test_a_fallback_attempt_is_paid_for_and_a_skipped_one_is_not() -> None:
    bench = Bench(RETRY_BUDGET_PERCENT="0", ANTHROPIC_MAX_RETRIES="1", BREAKER_FAILURE_THRESHOLD="1000", **FALLBACKS)
    bench.trip(SPARE)
    bench.upstream.failures[MAIN] = failures(11, UpstreamOverloaded)

    for _ in range(10):
        await bench.complete()
    await bench.failing(UpstreamOverloaded)

    assert bench.upstream.asked == [MAIN, LAST] * 10 + [MAIN]


async def test_a_requests_first_attempt_costs_nothing_whichever_model_is_asked() -> None:
    bench = Bench(RETRY_BUDGET_PERCENT="0", **FALLBACKS)
    bench.trip(MAIN)

    for _ in range(100):
        await bench.complete()

    assert bench.upstream.asked == [SPARE] * 100


async def test_no_fallback_model_is_asked_when_too_little_time_is_left() -> None:
    bench = Bench(**FALLBACKS)
    bench.upstream.failures[MAIN] = failures(1, UpstreamOverloaded)
    bench.upstream.free.clear()
    call = asyncio.ensure_future(bench.complete())
    await bench.upstream.asking.wait()

    assert bench.lifeline is not None
    bench.lifeline.extend(asyncio.get_running_loop().time() + 0.9)
    bench.upstream.free.set()

    with capture_logs() as log, pytest.raises(UpstreamOverloaded):
        await call
    assert (bench.upstream.asked, [line["event"] for line in log]) == ([MAIN], [FAILED])
