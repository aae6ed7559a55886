"""From a request to its answer: deadline → attempts (retry rules, budget) → breaker → one attempt; then the fallback models.

The rules are in `resilience`; here they meet the clock and chance. Nothing is tried again once an answer's first content is there.
"""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from chatbot_service.attempts import Attempt, Call, OpenStream, Upstream, fields_of, log_failure
from chatbot_service.conversation import Answer, Conversation
from chatbot_service.durations import format_duration
from chatbot_service.errors import CircuitOpen, DeadlinePassed, UpstreamOverloaded, UpstreamProblem
from chatbot_service.metrics import Metrics
from chatbot_service.resilience.breaker import Breaker, BreakerState
from chatbot_service.resilience.budget import RetryBudget
from chatbot_service.resilience.retry import RetryPolicy
from chatbot_service.settings import Settings

LEAST_SECONDS = 1.0
"""No attempt begins with less time left, or with less than half of a REQUEST_TIMEOUT that is shorter than two seconds."""

MARGIN_SECONDS = 1.0
"""How much later than the deadline an attempt would end by itself: the lifeline alone cuts there, so that it is known who cut."""

_TRANSITIONS = {
    BreakerState.CLOSED: "circuit breaker closed",
    BreakerState.HALF_OPEN: "circuit breaker half-open",
    BreakerState.OPEN: "circuit breaker opened",
}

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

T = TypeVar("T")
Ask = Callable[[Attempt], Awaitable[T]]


class Calls:
    """Calls of the model's API by one process, which share a breaker for each model and one retry budget."""

    def __init__(
        self,
        upstream: Upstream,
        settings: Settings,
        metrics: Metrics,
        *,
        budget: RetryBudget,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._upstream = upstream
        self._metrics = metrics
        self._budget = budget
        self._clock = clock
        self._chance = chance
        self._sleep = sleep
        self._own_seconds = settings.upstream_first_byte_timeout
        self._policy = RetryPolicy(
            max_attempts=settings.anthropic_max_retries,
            initial_backoff_seconds=settings.anthropic_initial_backoff,
            max_backoff_seconds=settings.anthropic_max_backoff,
            least_seconds=min(LEAST_SECONDS, settings.request_timeout / 2),
        )
        models = (settings.claude_model, *settings.claude_fallback_models)
        self.breakers = {model: self._new_breaker(model, settings) for model in models}
        self._primary, *self._fallbacks = self.breakers.values()
        for model in models:
            metrics.announce_model(model)

    def complete(self, conversation: Conversation, *, system: str | None, call: Call) -> Awaitable[Answer]:
        """Return the whole answer; raises UpstreamProblem, CircuitOpen or DeadlinePassed."""
        return self._run(call, partial(self._complete, conversation, system))

    def open(self, conversation: Conversation, *, system: str | None, call: Call) -> Awaitable[OpenStream]:
        """Return the streamed answer once its first content is there; raises as `complete` does."""
        return self._run(call, partial(self._open, conversation, system))

    async def _complete(self, conversation: Conversation, system: str | None, attempt: Attempt) -> Answer:
        timeout_seconds = attempt.left_seconds + MARGIN_SECONDS
        answer = await self._upstream.complete(attempt.model, conversation, system=system, timeout_seconds=timeout_seconds)
        attempt.succeed(answer.usage)
        return answer

    async def _open(self, conversation: Conversation, system: str | None, attempt: Attempt) -> OpenStream:
        return await OpenStream.begin(await self._upstream.open(attempt.model, conversation, system=system), attempt)

    async def _run(self, call: Call, ask: Ask[T]) -> T:
        self._budget.add_request()
        try:
            try:
                return await self._ask(call, ask, self._primary)
            except UpstreamProblem as failure:
                return await self._ask_again(call, ask, failure)
        except (UpstreamProblem, CircuitOpen) as problem:
            answer = await self._fall_back(call, ask, problem)
            if answer is not None:
                return answer
            if isinstance(problem, UpstreamProblem):
                log_failure(call, self._primary, problem)
            else:
                log.debug("circuit breaker rejected the call", correlation_id=call.correlation_id, model=self._primary.name)
            raise

    async def _ask_again(self, call: Call, ask: Ask[T], first_failure: UpstreamProblem) -> T:
        """Make the further attempts. Only here does tenacity come in: it would cost a call that goes well more than all the rest."""

        async def next_attempt() -> T:
            if retrying.statistics["attempt_number"] == 1:
                raise first_failure  # which tenacity has not seen
            return await self._ask(call, ask, self._primary)

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(UpstreamProblem),
            wait=partial(self._wait_seconds, call),
            stop=lambda state: state.upcoming_sleep == math.inf,
            before_sleep=partial(self._log_retry, call),
            sleep=self._sleep,
            reraise=True,
        )
        return await retrying(next_attempt)

    def _wait_seconds(self, call: Call, state: RetryCallState) -> float:
        """Return the wait before the next attempt, infinite when there is none; an attempt is paid for here."""
        number, left_seconds = state.attempt_number, call.lifeline.left_seconds
        wait = self._policy.wait_seconds(_failure(call), number, left_seconds=left_seconds, chance=self._chance())
        if wait is None or self._primary.rejecting or not self._budget.take():
            return math.inf
        return wait

    async def _fall_back(self, call: Call, ask: Ask[T], problem: UpstreamProblem | CircuitOpen) -> T | None:
        """Return the answer of the first fallback model to give one, or None; each is asked once.

        Every attempt but the request's first is paid for as a retry is.
        """
        if not self._may_fall_back(problem):
            return None
        for breaker in self._fallbacks:
            if breaker.rejecting or self._is_late(call) or (call.attempts > 0 and not self._budget.take()):
                continue
            try:
                answer = await self._ask(call, ask, breaker)
            except UpstreamProblem as failure:
                log.warning("fallback model failed", **fields_of(call, breaker, failure))
            else:
                log.warning("fallback model answers", correlation_id=call.correlation_id, model=breaker.name, attempts=call.attempts)
                return answer
        return None

    def _may_fall_back(self, problem: UpstreamProblem | CircuitOpen) -> bool:
        """Whether the model, not the request, is at fault: it is overloaded or left alone."""
        if isinstance(problem, CircuitOpen):
            return True
        return isinstance(problem, UpstreamOverloaded) or (problem.qualifies and self._primary.rejecting)

    async def _ask(self, call: Call, ask: Ask[T], breaker: Breaker) -> T:
        """Make one attempt; raises UpstreamProblem, CircuitOpen or DeadlinePassed."""
        self._check(call, breaker)
        attempt = Attempt(call, breaker, metrics=self._metrics, clock=self._clock, own_seconds=self._own_seconds)
        try:
            return await ask(attempt)
        except BaseException as error:
            attempt.fail(error)
            raise

    def _check(self, call: Call, breaker: Breaker) -> None:
        """Raise what keeps an attempt from being made; for a further one that is what went wrong with the last."""
        late = self._is_late(call)
        if call.failure is not None and (late or breaker.rejecting):
            raise call.failure
        if late:
            raise DeadlinePassed("Too little of the request's time was left to ask the model's API.")

    def _is_late(self, call: Call) -> bool:
        return call.lifeline.left_seconds < self._policy.least_seconds

    def _log_retry(self, call: Call, state: RetryCallState) -> None:
        self._metrics.retried(self._primary.name)
        log.warning(
            "anthropic api call failed, retrying",
            **fields_of(call, self._primary, _failure(call)),
            attempt=state.attempt_number,
            max_attempts=self._policy.max_attempts,
            wait=format_duration(state.upcoming_sleep),
        )

    def _new_breaker(self, model: str, settings: Settings) -> Breaker:
        return Breaker(
            model,
            threshold=settings.breaker_failure_threshold,
            reset_seconds=settings.breaker_reset_timeout,
            clock=self._clock,
            random=self._chance,
            on_transition=_log_transition,
        )


def _log_transition(breaker: Breaker) -> None:
    write = log.warning if breaker.state is BreakerState.OPEN else log.info
    write(_TRANSITIONS[breaker.state], model=breaker.name, trips=breaker.trips)


def _failure(call: Call) -> UpstreamProblem:
    assert call.failure is not None  # noqa: S101  only a failed attempt is followed by another
    return call.failure
