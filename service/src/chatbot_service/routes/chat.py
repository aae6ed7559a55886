"""POST /api/chat: one request path for JSON and server-sent events.

The order is body, slot, call of the model's API, answer. All of it hangs on one lifeline, which the client's leaving, the deadline
and the end of the drain cut.
"""

import asyncio
from typing import Any

import orjson
import structlog
from starlette.types import Receive, Scope, Send

from chatbot_service.attempts import Call, OpenStream
from chatbot_service.conversation import Delta, Event, Finished, Started, Usage
from chatbot_service.errors import UNFORESEEN, ClientLeft, Problem
from chatbot_service.event_stream import PING_SECONDS, EventStream
from chatbot_service.exchange import Exchange
from chatbot_service.lifeline import Lifeline
from chatbot_service.runtime import Runtime
from chatbot_service.sse import encode_event
from chatbot_service.telemetry import release_frames, stack_trace
from chatbot_service.validation import ChatRequest, check_media_type, parse_chat

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Chat:
    """The endpoint."""

    def __init__(self, runtime: Runtime, *, ping_seconds: float = PING_SECONDS) -> None:
        self._runtime = runtime
        self._settings = runtime.settings
        self._ping_seconds = ping_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; what is read of its body is held until then."""
        exchange = Exchange.of(scope)
        began = asyncio.get_running_loop().time() - exchange.elapsed_seconds
        lifeline = Lifeline(began + self._settings.request_timeout, self._runtime.lifelines)
        try:
            check_media_type(exchange.headers)
            request = parse_chat(await self._runtime.bodies.read(exchange, receive))
            lifeline.hang_on_client(scope)
            exchange.streamed = request.stream or b"text/event-stream" in exchange.headers.get(b"accept", b"")
            if exchange.streamed:
                stream = EventStream(send, began=began, ping_seconds=self._ping_seconds)
                await self._stream(request, exchange, stream, lifeline, latest=began + self._settings.upstream_total_timeout)
            else:
                await self._answer(request, exchange, send, lifeline)
        finally:
            self._runtime.bodies.release(exchange)

    async def _answer(self, request: ChatRequest, exchange: Exchange, send: Send, lifeline: Lifeline) -> None:
        call = Call(lifeline, exchange.correlation_id)
        with lifeline, await self._runtime.slots.taken():
            calls = self._runtime.require_calls()
            answer = await calls.complete(request.conversation, system=self._runtime.prompt.text, call=call)
        self._count(answer.usage)
        body = orjson.dumps(
            {
                "id": answer.id,
                "model": answer.model,
                "message": answer.text,
                "stop_reason": answer.stop_reason,
                "usage": answer.usage,
                "correlation_id": exchange.correlation_id,
            }
        )
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _stream(self, request: ChatRequest, exchange: Exchange, stream: EventStream, lifeline: Lifeline, *, latest: float) -> None:
        async with stream:
            try:
                with lifeline, await self._runtime.slots.taken():
                    await self._pump(request, exchange, stream, lifeline, latest=latest)
            except Problem as problem:
                release_frames(problem)
                await _break_off(problem, exchange, stream)
            except ClientLeft:
                raise
            except Exception as error:  # noqa: BLE001  the request error boundary, which itself cannot speak in events
                log.error("request failed", correlation_id=exchange.correlation_id, stack_trace=stack_trace(error))
                await _break_off(Problem(UNFORESEEN), exchange, stream)
            else:
                exchange.outcome = "done"

    async def _pump(self, request: ChatRequest, exchange: Exchange, stream: EventStream, lifeline: Lifeline, *, latest: float) -> None:
        """Pass the answer on, until `latest`. It begins with its first words, so that a failure before them still has its own status."""
        call = Call(lifeline, exchange.correlation_id)
        source = await self._runtime.require_calls().open(request.conversation, system=self._runtime.prompt.text, call=call)
        try:
            exchange.first_token_seconds = exchange.elapsed_seconds
            lifeline.extend(latest)
            await self._pass_on(source, exchange, stream)
        finally:
            source.close()

    async def _pass_on(self, source: OpenStream, exchange: Exchange, stream: EventStream) -> None:
        batch = source.first
        while source.usage is None:
            data = _encode_all(batch, exchange)
            batch.clear()  # a client that reads slowly is waited for with one form of the events in memory, not two
            if data:
                await stream.write(data)
            batch = await source.read()
        self._count(source.usage)
        await stream.write(_encode_all(batch, exchange), last=True)

    def _count(self, usage: Usage) -> None:
        self._runtime.traffic.input_tokens += usage.input_tokens
        self._runtime.traffic.output_tokens += usage.output_tokens


async def _break_off(problem: Problem, exchange: Exchange, stream: EventStream) -> None:
    """End a stream that has begun by its error event; one that has not is answered like any other request."""
    if not stream.begun:
        raise problem
    exchange.failed_with(problem)
    data: dict[str, Any] = {"code": problem.code, "detail": problem.detail}
    if problem.retry_after is not None:
        data["retry_after"] = problem.retry_after
    await stream.write(encode_event("error", data), last=True)


def _encode_all(batch: list[Event], exchange: Exchange) -> bytes:
    return b"".join([_encode(event, exchange) for event in batch])


def _encode(event: Event, exchange: Exchange) -> bytes:
    if isinstance(event, Delta):  # nearly always, and the quickest to ask
        return encode_event("delta", {"text": event.text})
    match event:
        case Started(message_id, model):
            return encode_event("start", {"id": message_id, "model": model, "correlation_id": exchange.correlation_id})
        case Finished(stop_reason, usage):
            return encode_event("done", {"stop_reason": stop_reason, "usage": usage})
