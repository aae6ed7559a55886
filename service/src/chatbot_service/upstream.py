"""Calls of the model's API: the only module that imports the SDK, so it is itself imported in a thread once the ports are open.

One attempt per call: the SDK's own retries and redirects are off. Nothing of the SDK or of its transport leaves this module: answers
are our values, failures are `UpstreamProblem`s.
"""

import asyncio
import logging
import re
import ssl
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, aclosing, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import anthropic
import httpx2
import orjson

from chatbot_service.conversation import Answer, Conversation, Delta, Event, Finished, Started, Usage
from chatbot_service.errors import (
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
from chatbot_service.readiness import Outcome, Verdict
from chatbot_service.settings import Settings
from chatbot_service.sse import EventParser

NONSTREAMING_MAX_TOKENS = 21_333
"""The SDK refuses longer answers in one piece; they are streamed and assembled here."""

_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_REFUSALS = {
    401: "The API key of this service is refused.",
    402: "The account of this service has no credit.",
    403: "The API key of this service may not do this.",
    404: "The model of this service is not available.",
}
_TRANSPORT_ERRORS = (httpx2.HTTPError, httpx2.StreamError, aiohttp.ClientError, OSError)
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)
"""What reading an answer of another shape raises."""
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,63}", re.ASCII)


class Upstream:
    """A client of the model's API with one key, one model and one connection pool."""

    def __init__(self, settings: Settings) -> None:
        # At DEBUG the SDK logs prompts, whatever this process logs.
        logging.getLogger("anthropic").setLevel(logging.WARNING)
        self._settings = settings
        self._client = anthropic.AsyncAnthropic(
            api_key="none yet",
            base_url=settings.anthropic_base_url,
            max_retries=0,
            timeout=self._timeout(read_seconds=settings.upstream_idle_timeout),
            http_client=anthropic.DefaultAioHttpClient(trust_env=False, follow_redirects=False, verify=_trust(settings.anthropic_ca_file)),
        )

    def use_key(self, key: str) -> None:
        """Send `key` from the next request on."""
        self._client.api_key = key

    async def check(self, key: str) -> Verdict:
        """Return whether `key` may use the model, without spending a token."""
        started = time.perf_counter()
        try:
            with _problems():
                async with asyncio.timeout(self._settings.health_check_timeout):
                    client = self._client.with_options(api_key=key)
                    response = await client.models.with_raw_response.retrieve(self._settings.claude_model)
                lifecycle, retires_at = _read_model(response.http_response.content)
        except UpstreamProblem as problem:
            return Verdict(_outcome(problem), latency_seconds=time.perf_counter() - started, error_type=problem.error_type)
        return Verdict(
            Outcome.MODEL_REFUSED if lifecycle == "retired" else Outcome.ACCEPTED,
            latency_seconds=time.perf_counter() - started,
            lifecycle=lifecycle,
            retires_at=retires_at,
        )

    async def complete(self, conversation: Conversation, *, system: str | None) -> Answer:
        """Return the whole answer; raises UpstreamProblem. The caller bounds the time."""
        if self._settings.claude_max_tokens > NONSTREAMING_MAX_TOKENS:
            return await self._assemble(conversation, system=system)
        timeout = self._timeout(read_seconds=self._settings.request_timeout)
        with _problems():
            response = await self._client.messages.with_raw_response.create(**self._parameters(conversation, system), timeout=timeout)
            return _read_answer(response.http_response.content)

    async def stream(self, conversation: Conversation, *, system: str | None) -> AsyncGenerator[list[Event]]:
        """Yield the answer's events, those of one read together, the last being Finished; raises UpstreamProblem.

        The caller bounds the whole; the first byte and the time between two reads are bounded here.
        """
        request = self._client.messages.with_streaming_response.create(**self._parameters(conversation, system), stream=True)
        reader = _Reader()
        with _problems():
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self._settings.upstream_first_byte_timeout):
                    response = await stack.enter_async_context(request)
                async for chunk in response.http_response.aiter_bytes():
                    if events := reader.feed(chunk):
                        yield events
                    if reader.finished:
                        return
        raise UpstreamGarbage("The model's answer ended before its end.", error_type="truncated")

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def _assemble(self, conversation: Conversation, *, system: str | None) -> Answer:
        started, texts, finished = Started("", ""), list[str](), Finished(None, Usage(0, 0))
        async with aclosing(self.stream(conversation, system=system)) as batches:
            async for batch in batches:
                for event in batch:
                    match event:
                        case Started():
                            started = event
                        case Delta():
                            texts.append(event.text)
                        case Finished():
                            finished = event
        return Answer(started.id, started.model, "".join(texts), finished.stop_reason, finished.usage)

    def _parameters(self, conversation: Conversation, system: str | None) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "model": self._settings.claude_model,
            "max_tokens": self._settings.claude_max_tokens,
            "messages": [{"role": turn.role, "content": turn.content} for turn in conversation],
        }
        if system:
            parameters["system"] = system
        if self._settings.claude_effort:
            parameters["output_config"] = {"effort": self._settings.claude_effort}
        return parameters

    def _timeout(self, *, read_seconds: float) -> httpx2.Timeout:
        connect = self._settings.upstream_connect_timeout
        return httpx2.Timeout(connect=connect, pool=connect, read=read_seconds, write=read_seconds)


class _Reader:
    """Turns the bytes of one streamed answer into events."""

    def __init__(self) -> None:
        self._parser = EventParser()
        self._input_tokens = 0
        self._output_tokens = 0
        self._stop_reason: str | None = None
        self.finished = False

    def feed(self, chunk: bytes) -> list[Event]:
        try:
            return [event for data in self._parser.feed(chunk) if (event := self._event(data)) is not None]
        except _UNREADABLE as error:
            raise UpstreamGarbage("The answer of the model's API cannot be read.") from error

    def _event(self, data: dict[str, Any]) -> Event | None:
        match data["type"]:
            case "content_block_delta" if data["delta"]["type"] == "text_delta":
                return Delta(data["delta"]["text"])
            case "message_start":
                message = data["message"]
                self._count(message["usage"])
                return Started(message["id"], message["model"])
            case "message_delta":
                self._stop_reason = data["delta"].get("stop_reason")
                self._count(data.get("usage") or {})
            case "message_stop":
                self.finished = True
                return Finished(self._stop_reason, Usage(self._input_tokens, self._output_tokens))
            case "error":
                raise _problem_of_status(_STATUS_OF_TYPE.get(data["error"]["type"], 500), error_type=data["error"]["type"])
        return None

    def _count(self, usage: dict[str, Any]) -> None:
        """Usage is cumulative; a field that is missing keeps its last value."""
        self._input_tokens = int(usage.get("input_tokens") or self._input_tokens)
        self._output_tokens = int(usage.get("output_tokens") or self._output_tokens)


@contextmanager
def _problems() -> Iterator[None]:
    """Raise everything that the SDK and its transport raise as an UpstreamProblem."""
    try:
        yield
    except (anthropic.AnthropicError, *_TRANSPORT_ERRORS) as error:
        raise problem_of(error) from error


def problem_of(error: Exception) -> UpstreamProblem:
    """Return what `error`, raised by the SDK or its transport, means for the request."""
    match error:
        case anthropic.APITimeoutError() | httpx2.TimeoutException() | TimeoutError():
            return UpstreamTimeout("The model's API did not answer in time.")
        case anthropic.APIStatusError():
            return _problem_of_status(
                error.status_code,
                error_type=error.type,
                request_id=error.request_id,
                retry_after_seconds=_retry_after_seconds(error.response.headers),
            )
        case anthropic.APIResponseValidationError():
            return UpstreamGarbage("The answer of the model's API cannot be read.")
        case anthropic.APIConnectionError():
            return UpstreamUnreachable("The model's API cannot be reached.")
        case anthropic.AnthropicError():
            return UpstreamFailed("The call of the model's API failed.")
        case _:
            return UpstreamUnreachable("The connection to the model's API broke.")


def _problem_of_status(
    status: int, *, error_type: str | None = None, request_id: str | None = None, retry_after_seconds: float | None = None
) -> UpstreamProblem:
    kind: type[UpstreamProblem]
    match status:
        case 400:
            kind, detail = UpstreamRefusedRequest, "The model's API finds the request invalid."
        case 413:
            kind, detail = UpstreamRefusedSize, "The model's API finds the request too large."
        case 429:
            kind, detail = UpstreamRateLimited, "The model's API limits the rate of this service."
        case 529:
            kind, detail = UpstreamOverloaded, "The model's API is overloaded."
        case _ if 400 <= status < 500:
            kind, detail = UpstreamRefused, _REFUSALS.get(status, "The model's API refuses the request.")
        case _:
            kind, detail = UpstreamFailed, "The model's API failed."
    return kind(
        detail, error_type=_word(error_type), upstream_status=status, request_id=_word(request_id), retry_after_seconds=retry_after_seconds
    )


def _outcome(problem: UpstreamProblem) -> Outcome:
    if problem.upstream_status in (401, 403):
        return Outcome.KEY_REFUSED
    missing = problem.upstream_status == 404 and problem.error_type == "not_found_error"
    return Outcome.MODEL_REFUSED if missing else Outcome.UNJUDGEABLE


def _read_answer(content: bytes) -> Answer:
    try:
        message = orjson.loads(content)
        return Answer(
            id=message["id"],
            model=message["model"],
            text="".join(block["text"] for block in message["content"] if block["type"] == "text"),
            stop_reason=message["stop_reason"],
            usage=Usage(int(message["usage"]["input_tokens"]), int(message["usage"]["output_tokens"])),
        )
    except _UNREADABLE as error:
        raise UpstreamGarbage("The answer of the model's API cannot be read.") from error


def _read_model(content: bytes) -> tuple[str | None, str | None]:
    try:
        model = orjson.loads(content)
        if not isinstance(model["id"], str):
            raise TypeError("a model has an id")
        return _word(model.get("lifecycle")), _timestamp(model.get("retires_at"))
    except _UNREADABLE as error:
        raise UpstreamGarbage("The answer of the model's API cannot be read.") from error


def _word(value: object) -> str | None:
    """Return `value` if it is one short word: it goes into logs, metrics and reports, and comes from outside."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _timestamp(value: object) -> str | None:
    return datetime.fromisoformat(value).isoformat() if isinstance(value, str) else None


def _retry_after_seconds(headers: httpx2.Headers) -> float | None:
    """Return the wait that the API asks for: `retry-after-ms`, or `retry-after` in seconds or as an HTTP date."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        text = headers.get("retry-after", "")
        if not text or text[0].isdigit():
            return float(text) if text else None
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _trust(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context
