"""One attempt at the model's API, from the breaker's leave to its judgement, and the stream that one may become.

What an attempt came to is told here, once, to the breaker, the metrics and the log; whether another follows is for `calls` to say.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from chatbot_service.conversation import Answer, Conversation, Delta, Event, Finished, Usage
from chatbot_service.errors import UpstreamProblem, UpstreamRefusedRequest, UpstreamRefusedSize, UpstreamTimeout
from chatbot_service.lifeline import Lifeline
from chatbot_service.metrics import Metrics
from chatbot_service.resilience.breaker import Breaker
from chatbot_service.telemetry import stack_trace

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Reply(Protocol):
    """A streamed answer as it comes in."""

    async def read(self) -> list[Event]:
        """Return the events of one read, perhaps none; the last of all is Finished. Raises UpstreamProblem."""

    def close(self) -> None:
        """Break the answer off at once, unless it is whole."""


class Upstream(Protocol):
    """The model's API, asked once; raises UpstreamProblem."""

    async def complete(self, model: str, conversation: Conversation, *, system: str | None, timeout_seconds: float) -> Answer:
        """Return the whole answer, in `timeout_seconds` at most."""

    async def open(self, model: str, conversation: Conversation, *, system: str | None) -> Reply:
        """Return the streamed answer as soon as it begins."""


@dataclass(slots=True)
class Call:
    """A request's call: how many attempts were made for it, at whichever model, and what went wrong with the last one."""

    lifeline: Lifeline
    correlation_id: str
    attempts: int = 0
    failure: UpstreamProblem | None = None


class Attempt:
    """One attempt at the model of `breaker`; raises CircuitOpen. `own_seconds` is the time that it has whatever the deadline."""

    __slots__ = ("_began", "_breaker", "_call", "_clock", "_delivering", "_metrics", "_own_seconds", "_permit", "model")

    def __init__(self, call: Call, breaker: Breaker, *, metrics: Metrics, clock: Callable[[], float], own_seconds: float) -> None:
        self._permit = breaker.admit()
        self.model = breaker.name
        self._breaker = breaker
        self._call = call
        self._metrics = metrics
        self._clock = clock
        self._own_seconds = own_seconds
        self._delivering = False
        self._began = clock()
        call.attempts += 1

    @property
    def left_seconds(self) -> float:
        """Return the time until the request's deadline."""
        return self._call.lifeline.left_seconds

    def content_came(self) -> None:
        """The first content of a stream is there: from now on nothing is tried again."""
        self._delivering = True
        self._permit.content_came()

    def succeed(self, usage: Usage) -> None:
        """The answer is whole."""
        self._permit.succeed()
        self._metrics.attempt_succeeded(self.model, usage, seconds=self._clock() - self._began)

    def fail(self, error: BaseException) -> None:
        """`error` ended it: the API's failure, the deadline, or something that says nothing about the API."""
        seconds = self._clock() - self._began
        match error:
            case UpstreamProblem():
                self._call.failure = error
                self._metrics.attempt_failed(self.model, seconds=seconds, error_type=error.error_type)
                if error.qualifies:
                    self._permit.fail()
                if self._delivering:
                    log_failure(self._call, self._breaker, error)
            case asyncio.CancelledError() if self._call.lifeline.expired:
                self._metrics.attempt_failed(self.model, seconds=seconds, error_type=UpstreamTimeout.fallback_type)
                if seconds >= self._own_seconds and not self._delivering:
                    self._permit.fail()
                log_failure(self._call, self._breaker, error)
        self._permit.abandon()


class OpenStream:
    """A streamed answer from its first content on; `first` has every event up to there. `usage` is there with the last event."""

    __slots__ = ("_attempt", "_reply", "first", "usage")

    def __init__(self, reply: Reply, attempt: Attempt, *, first: list[Event]) -> None:
        self.first = first
        self.usage: Usage | None = None
        self._reply = reply
        self._attempt = attempt
        self._judge(first)

    @classmethod
    async def begin(cls, reply: Reply, attempt: Attempt) -> "OpenStream":
        """Return the stream once its first content is there; raises UpstreamProblem."""
        first: list[Event] = []
        try:
            while not any(isinstance(event, (Delta, Finished)) for event in first):
                first += await reply.read()
        except BaseException:
            reply.close()
            raise
        attempt.content_came()
        return cls(reply, attempt, first=first)

    async def read(self) -> list[Event]:
        """Return the events of the next read, perhaps none; the last of all is Finished. Raises UpstreamProblem."""
        try:
            events = await self._reply.read()
        except BaseException as error:
            self._attempt.fail(error)
            raise
        self._judge(events)
        return events

    def close(self) -> None:
        """End it, whole or not; whoever opened it calls this, whatever happened."""
        self._reply.close()

    def _judge(self, events: list[Event]) -> None:
        if events and isinstance(events[-1], Finished):
            self.usage = events[-1].usage
            self._attempt.succeed(self.usage)


def log_failure(call: Call, breaker: Breaker, error: BaseException) -> None:
    """Write the one line of a call that has failed for good; what the client asked wrongly is no error of ours."""
    fields = fields_of(call, breaker, error)
    if isinstance(error, (UpstreamRefusedRequest, UpstreamRefusedSize)):
        log.info("anthropic api call failed", **fields, attempts=call.attempts)
    else:
        log.error("anthropic api call failed", **fields, attempts=call.attempts, stack_trace=stack_trace(error))


def fields_of(call: Call, breaker: Breaker, error: BaseException) -> dict[str, Any]:
    """Return what a log line says of a failed attempt; an `error` that is none of the API's is a deadline's cut."""
    fields: dict[str, Any] = {"correlation_id": call.correlation_id, "model": breaker.name, "breaker": breaker.state.value}
    if isinstance(error, UpstreamProblem):
        answered = {"upstream_status": error.upstream_status, "upstream_request_id": error.request_id}
        return {**fields, "error_type": error.error_type, **answered}
    return {**fields, "error_type": UpstreamTimeout.fallback_type}
