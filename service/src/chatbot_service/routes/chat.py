"""POST /api/chat: one request path for JSON and server-sent events. The client's leaving ends the call of the model's API."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import orjson
import structlog
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from chatbot_service.conversation import Delta, Event, Finished, Started, Usage
from chatbot_service.errors import UNFORESEEN, ClientLeft, Problem, UpstreamFailed, UpstreamOverloaded, UpstreamProblem, UpstreamTimeout
from chatbot_service.exchange import Exchange
from chatbot_service.runtime import Runtime
from chatbot_service.sse import encode_event
from chatbot_service.telemetry import stack_trace
from chatbot_service.validation import ChatRequest, check_media_type, parse_chat, read_body

PING_SECONDS = 10.0

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Chat:
    """The endpoint."""

    def __init__(self, runtime: Runtime, *, ping_seconds: float = PING_SECONDS) -> None:
        self._runtime = runtime
        self._settings = runtime.settings
        self._ping_seconds = ping_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        exchange = Exchange.of(scope)
        exchange.chat = True
        headers = Headers(scope=scope)
        with self._in_flight():
            check_media_type(headers)
            request = parse_chat(await read_body(headers, receive, limit_bytes=self._settings.max_request_size))
            exchange.streamed = request.stream or "text/event-stream" in headers.get("accept", "")
            answer = self._stream(request, exchange, send) if exchange.streamed else self._answer(request, exchange, scope, send)
            await unless_client_leaves(answer, receive)

    async def _answer(self, request: ChatRequest, exchange: Exchange, scope: Scope, send: Send) -> None:
        upstream = self._runtime.require_upstream()
        with self._reported(exchange):
            async with asyncio.timeout(self._settings.request_timeout - exchange.elapsed_seconds):
                answer = await upstream.complete(
                    self._settings.claude_model,
                    request.conversation,
                    system=self._runtime.prompt.text,
                    timeout_seconds=self._settings.request_timeout - exchange.elapsed_seconds,
                )
        self._count(answer.usage)
        body = {
            "id": answer.id,
            "model": answer.model,
            "message": answer.text,
            "stop_reason": answer.stop_reason,
            "usage": answer.usage,
            "correlation_id": exchange.correlation_id,
        }
        await Response(orjson.dumps(body), media_type="application/json")(scope, _no_more, send)

    async def _stream(self, request: ChatRequest, exchange: Exchange, send: Send) -> None:
        stream = _EventStream(send)
        try:
            with self._reported(exchange):
                await self._pump(request, exchange, stream)
        except Problem as problem:
            await self._break_off(problem, exchange, stream)
        except Exception as error:  # noqa: BLE001  the request error boundary, which itself cannot speak in events
            log.error("request failed", correlation_id=exchange.correlation_id, stack_trace=stack_trace(error))
            exchange.error_type = "internal_error"
            await self._break_off(Problem(UNFORESEEN), exchange, stream)
        else:
            exchange.outcome = "done"

    async def _break_off(self, problem: Problem, exchange: Exchange, stream: "_EventStream") -> None:
        exchange.outcome = "error"
        if not stream.begun:
            raise problem
        await stream.write(_error_event(problem), last=True)

    async def _pump(self, request: ChatRequest, exchange: Exchange, stream: "_EventStream") -> None:
        """Pass the answer on. The start waits for the first words, so that a failure before them still has its own status."""
        upstream = self._runtime.require_upstream()
        loop = asyncio.get_running_loop()
        began = loop.time() - exchange.elapsed_seconds
        waiting, done = b"", b""
        async with (
            asyncio.timeout_at(began + self._settings.request_timeout) as deadline,
            stream.pinging(self._ping_seconds - exchange.elapsed_seconds, every=self._ping_seconds),
            AsyncExitStack() as stack,
        ):
            reply = await upstream.open(self._settings.claude_model, request.conversation, system=self._runtime.prompt.text)
            stack.callback(reply.close)
            while not done:
                batch = await reply.read()
                waiting += b"".join([_encode(event, exchange) for event in batch if not isinstance(event, Finished)])
                if all(isinstance(event, Started) for event in batch):
                    continue
                if exchange.first_token_seconds is None:
                    exchange.first_token_seconds = exchange.elapsed_seconds
                    deadline.reschedule(began + self._settings.upstream_total_timeout)
                if isinstance(batch[-1], Finished):
                    self._count(batch[-1].usage)
                    done = waiting + _encode(batch[-1], exchange)
                else:
                    await stream.write(waiting)
                waiting = b""
        await stream.write(done, last=True)

    @contextmanager
    def _in_flight(self) -> Iterator[None]:
        self._runtime.traffic.in_flight += 1
        try:
            yield
        finally:
            self._runtime.traffic.in_flight -= 1

    @contextmanager
    def _reported(self, exchange: Exchange) -> Iterator[None]:
        """Write down how the call of the model's API ended; a passed deadline becomes UpstreamTimeout."""
        try:
            yield
        except TimeoutError as error:
            problem = UpstreamTimeout("The model's API did not answer in time.")
            self._failed(problem, exchange)
            raise problem from error
        except UpstreamProblem as problem:
            self._failed(problem, exchange)
            raise
        self._runtime.readiness.upstream_failing = False

    def _failed(self, problem: UpstreamProblem, exchange: Exchange) -> None:
        exchange.error_type = problem.error_type
        self._runtime.metrics.attempt_ended(self._settings.claude_model, seconds=exchange.elapsed_seconds, error_type=problem.error_type)
        if isinstance(problem, (UpstreamFailed, UpstreamOverloaded, UpstreamTimeout)):
            self._runtime.readiness.upstream_failing = True
        log.error(
            "anthropic api call failed",
            correlation_id=exchange.correlation_id,
            error_type=problem.error_type,
            upstream_status=problem.upstream_status,
            upstream_request_id=problem.request_id,
            attempt=1,
            stack_trace=stack_trace(problem),
        )

    def _count(self, usage: Usage) -> None:
        self._runtime.traffic.input_tokens += usage.input_tokens
        self._runtime.traffic.output_tokens += usage.output_tokens
        self._runtime.metrics.tokens_used(self._settings.claude_model, usage)


class _EventStream:
    """The answer to one client as server-sent events; begins with the first of them."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._lock = asyncio.Lock()
        self.begun = False

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Send `data`, one or more whole events."""
        async with self._lock:
            if not self.begun:
                self.begun = True
                await self._send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
            await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    @asynccontextmanager
    async def pinging(self, first_seconds: float, *, every: float) -> AsyncIterator[None]:
        """Send a ping after `first_seconds` and then in even steps, as long as the block runs."""
        task = asyncio.create_task(self._ping(first_seconds, every))
        try:
            yield
        finally:
            await _end(task)

    async def _ping(self, first_seconds: float, every: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + first_seconds
        while True:
            await asyncio.sleep(due - loop.time())
            await self.write(_PING)
            due += every


async def unless_client_leaves(work: Coroutine[Any, Any, None], receive: Receive) -> None:
    """Do `work`; raises ClientLeft, after cancelling it, when the client closes its connection first."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientLeft
        task.result()
    finally:
        await _end(task, gone)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _no_more() -> Any:
    raise RuntimeError("a plain answer reads nothing")


def _encode(event: Event, exchange: Exchange) -> bytes:
    match event:
        case Delta(text):
            return encode_event("delta", {"text": text})
        case Started(message_id, model):
            return encode_event("start", {"id": message_id, "model": model, "correlation_id": exchange.correlation_id})
        case Finished(stop_reason, usage):
            return encode_event("done", {"stop_reason": stop_reason, "usage": usage})


def _error_event(problem: Problem) -> bytes:
    data: dict[str, Any] = {"code": problem.code, "detail": problem.detail}
    if problem.retry_after is not None:
        data["retry_after"] = problem.retry_after
    return encode_event("error", data)


_PING = encode_event("ping", {})
_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would collect the stream otherwise
]
