"""Calls of the model's API: one attempt each. It imports the SDK, so it is itself imported in a thread once the ports are open.

Nothing of HTTP leaves this module: conversations go in, answers are our values, failures are `UpstreamProblem`s.
"""

import asyncio
import io
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import orjson

from chatbot_service.answers import StreamedAnswer, read_answer, read_model
from chatbot_service.connection import RoundTrip
from chatbot_service.conversation import Answer, Conversation, Delta, Event, Finished, Started
from chatbot_service.errors import UpstreamGarbage, UpstreamProblem, UpstreamTimeout
from chatbot_service.failures import problem_of
from chatbot_service.readiness import Outcome, Verdict
from chatbot_service.sdk import MAX_WHOLE_TOKENS, Heads, Sdk
from chatbot_service.settings import Settings
from chatbot_service.wire import Origin, Wire

MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""Forty times what 21 333 tokens take."""
MAX_SHORT_BYTES = 64 * 1024
"""Of an error, or of what there is to say about a model."""


class Upstream:
    """A client of the model's API with one key and one set of connections.

    `may_resend` gives leave for each request that is sent twice because a kept connection swallowed it.
    """

    def __init__(self, settings: Settings, *, may_resend: Callable[[], bool] = lambda: True) -> None:
        self._settings = settings
        self._sdk = Sdk(settings.anthropic_base_url, whole_seconds=settings.request_timeout, idle_seconds=settings.upstream_idle_timeout)
        self.use_key("none yet")
        origin = Origin.of(settings.anthropic_base_url, ca_file=settings.anthropic_ca_file)
        self._wire = Wire(origin, connect_seconds=settings.upstream_connect_timeout, may_resend=may_resend)

    @property
    def open_connections(self) -> int:
        """Return how many connections there are, in use or kept."""
        return self._wire.open_connections

    @property
    def idle_connections(self) -> int:
        """Return how many connections are kept for the next request."""
        return self._wire.idle_connections

    def use_key(self, key: str, *, on_refused: Callable[[], None] = lambda: None) -> None:
        """Send `key` from the next request on; `on_refused` is called whenever the API answers 401 to a request with it."""
        self._heads = self._heads_of(key)
        self._on_refused = on_refused

    async def check(self, key: str) -> Verdict:
        """Return whether `key` may use the model, without spending a token."""
        started = time.perf_counter()
        try:
            lifecycle, retires_at = await self._ask_about_model(key)
        except UpstreamProblem as problem:
            return Verdict(_outcome(problem), latency_seconds=time.perf_counter() - started, error_type=problem.error_type)
        return Verdict(
            Outcome.MODEL_REFUSED if lifecycle == "retired" else Outcome.ACCEPTED,
            latency_seconds=time.perf_counter() - started,
            lifecycle=lifecycle,
            retires_at=retires_at,
        )

    async def complete(self, model: str, conversation: Conversation, *, system: str | None, timeout_seconds: float) -> Answer:
        """Return the whole answer, in `timeout_seconds` at most; raises UpstreamProblem."""
        if self._settings.claude_max_tokens > MAX_WHOLE_TOKENS:
            return await self._assemble(model, conversation, system=system, timeout_seconds=timeout_seconds)
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        body = self._body(model, conversation, system)
        trip = await self._begin(self._heads.whole, body, deadline=deadline)
        return read_answer(await trip.read_whole(deadline=deadline, limit_bytes=MAX_ANSWER_BYTES))

    async def open(self, model: str, conversation: Conversation, *, system: str | None) -> "Reply":
        """Return the streamed answer as soon as it begins; raises UpstreamProblem. The caller closes it."""
        deadline = asyncio.get_running_loop().time() + self._settings.upstream_first_byte_timeout
        body = self._body(model, conversation, system, stream=True)
        trip = await self._begin(self._heads.stream, body, deadline=deadline)
        return Reply(trip, idle_seconds=self._settings.upstream_idle_timeout)

    async def close(self) -> None:
        """Close every connection."""
        self._wire.close()

    async def _begin(self, head: bytes, body: bytes, *, deadline: float) -> RoundTrip:
        """Return the answer to one message from its head on; raises UpstreamProblem."""
        on_refused = self._on_refused
        trip = await self._wire.send(b"%b%d\r\n\r\n" % (head, len(body)), body, deadline=deadline)
        try:
            await _require_success(trip, deadline=deadline)
        except UpstreamProblem as problem:
            if problem.upstream_status == 401:
                on_refused()
            raise
        return trip

    async def _ask_about_model(self, key: str) -> tuple[str | None, str | None]:
        deadline = asyncio.get_running_loop().time() + self._settings.health_check_timeout
        trip = await self._wire.send(self._heads_of(key).model, b"", deadline=deadline)
        await _require_success(trip, deadline=deadline)
        return read_model(await trip.read_whole(deadline=deadline, limit_bytes=MAX_SHORT_BYTES))

    async def _assemble(self, model: str, conversation: Conversation, *, system: str | None, timeout_seconds: float) -> Answer:
        try:
            async with asyncio.timeout(timeout_seconds):
                reply = await self.open(model, conversation, system=system)
                return await reply.assemble()
        except TimeoutError as error:
            raise UpstreamTimeout("The model's API did not answer in time.") from error

    def _heads_of(self, key: str) -> Heads:
        return self._sdk.heads(key, model=self._settings.claude_model)

    def _body(self, model: str, conversation: Conversation, system: str | None, *, stream: bool = False) -> bytes:
        parameters: dict[str, Any] = {"model": model, "max_tokens": self._settings.claude_max_tokens, "messages": conversation}
        if system:
            parameters["system"] = system
        if self._settings.claude_effort:
            parameters["output_config"] = {"effort": self._settings.claude_effort}
        if stream:
            parameters["stream"] = True
        return orjson.dumps(parameters)


class Reply:
    """One streamed answer. Whoever opened it closes it."""

    __slots__ = ("_answer", "_idle_seconds", "_trip")

    def __init__(self, trip: RoundTrip, *, idle_seconds: float) -> None:
        self._trip = trip
        self._idle_seconds = idle_seconds
        self._answer = StreamedAnswer()

    async def read(self) -> list[Event]:
        """Return the events of one read, perhaps none; the last of all is Finished. Raises UpstreamProblem."""
        if self._answer.problem is not None:
            raise self._answer.problem
        data = await self._trip.read(seconds=self._idle_seconds)
        if not data:
            raise UpstreamGarbage("The model's answer ended before its end.", error_type="truncated")
        return self._answer.feed(data)

    def close(self) -> None:
        """Break the answer off at once, unless it is whole."""
        if self._answer.finished:
            self._trip.linger()
        else:
            self._trip.close()

    async def assemble(self) -> Answer:
        """Return the answer in one piece; raises UpstreamGarbage when its text is longer than any answer."""
        started, whole = Started("", ""), io.StringIO()
        with closing(self):
            while True:
                for event in await self.read():
                    match event:
                        case Delta(text):
                            whole.write(text)
                            if whole.tell() > MAX_ANSWER_BYTES:
                                raise UpstreamGarbage("The answer of the model's API is too long.")
                        case Started():
                            started = event
                        case Finished(stop_reason, usage):
                            return Answer(started.id, started.model, whole.getvalue(), stop_reason, usage)


async def _require_success(trip: RoundTrip, *, deadline: float) -> None:
    """Raise what an answer other than 2xx means. Its body only says more, so a broken one changes nothing."""
    answer = trip.answer
    if 200 <= answer.status < 300:
        return
    try:
        content = await trip.read_whole(deadline=deadline, limit_bytes=MAX_SHORT_BYTES)
    except UpstreamProblem:
        content = b""
    raise problem_of(answer.status, headers=answer.headers, body=_json(content))


def _json(content: bytes) -> object:
    try:
        return orjson.loads(content)
    except ValueError:
        return None


def _outcome(problem: UpstreamProblem) -> Outcome:
    if problem.upstream_status in (401, 403):
        return Outcome.KEY_REFUSED
    missing = problem.upstream_status == 404 and problem.error_type == "not_found_error"
    return Outcome.MODEL_REFUSED if missing else Outcome.UNJUDGEABLE
