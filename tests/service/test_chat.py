"""POST /api/chat over sockets, against the simulator; pings and the order of events against a hand-driven ASGI connection."""

import asyncio
import contextlib
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from starlette.types import Message
from structlog.testing import capture_logs

from chatbot_service.calls import Calls
from chatbot_service.conversation import Conversation, Delta, Event, Finished, Started, Usage
from chatbot_service.errors import UpstreamOverloaded
from chatbot_service.exchange import Exchange
from chatbot_service.files import SystemPrompt
from chatbot_service.resilience.budget import RetryBudget
from chatbot_service.routes.chat import Chat
from chatbot_service.runtime import Runtime
from chatbot_service.settings import Settings
from tests.conftest import Simulator
from tests.service.conftest import Service, start_service


def test_an_answer_is_whole_json(service: Service) -> None:
    reply = service.chat("Hello, how are you?", headers={"x-correlation-id": "test-1"})

    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert list(reply.json) == ["id", "model", "message", "stop_reason", "usage", "correlation_id"]
    assert reply.json["model"] == "claude-sonnet-5-5"
    assert "Hello, how are you?" in reply.json["message"]
    assert (reply.json["stop_reason"], reply.json["correlation_id"]) == ("end_turn", "test-1")
    assert reply.json["usage"].keys() == {"input_tokens", "output_tokens"}


def test_a_stream_is_start_deltas_and_done_and_says_the_same(service: Service) -> None:
    whole = service.chat("What is drift?").json

    reply = service.chat("What is drift?", stream=True, headers={"x-correlation-id": "test-2"})

    names = [name for name, _ in reply.events]
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert names == ["start", *["delta"] * (len(names) - 2), "done"]
    assert reply.events[0][1] == {"id": reply.events[0][1]["id"], "model": "claude-sonnet-5-5", "correlation_id": "test-2"}
    assert "".join(data["text"] for name, data in reply.events if name == "delta") == whole["message"]
    assert reply.events[-1][1] == {"stop_reason": "end_turn", "usage": whole["usage"]}


def test_accepting_event_streams_asks_for_one(service: Service) -> None:
    reply = service.request("POST", "/api/chat", {"message": "Hello"}, headers={"accept": "text/event-stream"})

    assert reply.events[-1][0] == "done"


def test_a_conversation_is_passed_on(service: Service) -> None:
    turns = [{"role": "user", "content": "One"}, {"role": "assistant", "content": "Two"}, {"role": "user", "content": "Three"}]

    reply = service.request("POST", "/api/chat", {"messages": turns})

    assert "Three" in reply.json["message"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"nonsense", 400, "undecodable"),
        ({}, 422, "unprocessable"),
        ({"message": "x", "temperature": 1}, 422, "unprocessable"),
        # The service waits for the rest as long as it lets a client take to read its refusal.
        pytest.param(b" " * 10_485_761, 413, "body_too_large", marks=pytest.mark.programs),
    ],
    ids=["undecodable", "empty", "unknown field", "too large"],
)
def test_a_bad_body_is_refused_as_problem_json(service: Service, simulator: Simulator, body: object, status: int, code: str) -> None:
    reply = service.request("POST", "/api/chat", body)

    assert (reply.status, reply.json["code"]) == (status, code)
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json["correlation_id"] == reply.headers["x-correlation-id"]
    assert simulator.requests()["by_path"].get("/v1/messages", 0) == 0


def test_another_media_type_is_refused(service: Service) -> None:
    reply = service.request("POST", "/api/chat", b"message=x", headers={"content-type": "application/x-www-form-urlencoded"})

    assert (reply.status, reply.json["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize(
    ("upstream", "status", "code", "retry_after"),
    [
        (400, 400, "invalid_request", None),
        (401, 502, "upstream_rejected", None),
        (402, 502, "upstream_rejected", None),
        (403, 502, "upstream_rejected", None),
        (404, 502, "upstream_rejected", None),
        (413, 413, "body_too_large", None),
        (429, 429, "upstream_rate_limited", "1"),
        (500, 502, "upstream_error", None),
        (503, 502, "upstream_error", None),
        (529, 503, "overloaded", "1"),
    ],
)
def test_what_the_api_answers_becomes_our_own_status(
    service: Service, simulator: Simulator, *, upstream: int, status: int, code: str, retry_after: str | None, stream: bool
) -> None:
    simulator.behave(error={"status": upstream})

    reply = service.chat(stream=stream)

    assert (reply.status, reply.json["code"], reply.headers.get("retry-after")) == (status, code, retry_after)
    assert simulator.requests()["by_path"]["/v1/messages"] == 1


def test_the_apis_retry_after_is_passed_on(service: Service, simulator: Simulator) -> None:
    simulator.behave(error={"status": 429, "retry_after": "7"})

    assert service.chat().headers["retry-after"] == "7"


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("fault", [{"garbage": True}, {"cut_at": 0}, {"redirect_to": "http://127.0.0.1:9/"}], ids=str)
def test_no_answer_or_no_sense_is_a_bad_gateway(service: Service, simulator: Simulator, fault: dict[str, object], *, stream: bool) -> None:
    simulator.behave(**fault)

    reply = service.chat(stream=stream)

    assert (reply.status, reply.json["code"]) == (502, "upstream_error")


def test_an_overload_announced_before_any_content_has_its_own_status(service: Service, simulator: Simulator) -> None:
    simulator.behave(overload_at=2)

    reply = service.chat(stream=True)

    assert (reply.status, reply.json["code"]) == (503, "overloaded")


@pytest.mark.parametrize(("fault", "code"), [({"overload_at": 6}, "overloaded"), ({"cut_at": 6}, "upstream_error")])
def test_a_stream_that_breaks_after_content_ends_with_an_error_event(
    service: Service, simulator: Simulator, fault: dict[str, object], code: str
) -> None:
    simulator.behave(pace="5ms", **fault)

    events = service.chat(stream=True).events

    assert [name for name, _ in events[:2]] == ["start", "delta"]
    assert [name for name, _ in events].count("error") == 1
    assert (events[-1][0], events[-1][1]["code"]) == ("error", code)
    assert ("retry_after" in events[-1][1]) == (code == "overloaded")


@pytest.fixture(scope="module")
def hasty(_session_simulator: Simulator) -> Iterator[Service]:
    """A service that waits for nothing longer than a second or so."""
    with start_service(
        _session_simulator,
        UPSTREAM_CONNECT_TIMEOUT="500ms",
        UPSTREAM_FIRST_BYTE_TIMEOUT="500ms",
        REQUEST_TIMEOUT="700ms",
        UPSTREAM_IDLE_TIMEOUT="500ms",
        UPSTREAM_TOTAL_TIMEOUT="1500ms",
    ) as service:
        yield service


@pytest.mark.programs
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_an_answer_that_does_not_come_in_time_is_a_gateway_timeout(hasty: Service, simulator: Simulator, *, stream: bool) -> None:
    simulator.behave(stall_at=0)
    started = time.monotonic()

    reply = hasty.chat(stream=stream)

    assert (reply.status, reply.json["code"]) == (504, "upstream_timeout")
    assert time.monotonic() - started < 20  # without these limits it would take 30
    simulator.wait_until(lambda counts: counts["open"] == 0)


@pytest.mark.programs
def test_a_stream_that_stalls_ends_with_an_error_event(hasty: Service, simulator: Simulator) -> None:
    simulator.behave(stall_at=6)

    events = hasty.chat(stream=True).events

    assert (events[-1][0], events[-1][1]["code"]) == ("error", "upstream_timeout")


@pytest.mark.programs
def test_a_stream_that_goes_on_for_ever_ends_at_the_total_timeout(hasty: Service, simulator: Simulator) -> None:
    simulator.behave(pace="100ms", events=1000)

    events = hasty.chat(stream=True).events

    assert (events[-1][0], events[-1][1]["code"]) == ("error", "upstream_timeout")


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_the_client_leaving_ends_the_call_of_the_api_at_once(service: Service, simulator: Simulator, *, stream: bool) -> None:
    simulator.behave(pace="200ms", events=50)
    connection = service.open_chat(stream=stream)
    simulator.wait_until(lambda counts: counts["open"] == 1)

    connection.close()

    simulator.wait_until(lambda counts: counts["cancelled"] == 1 and counts["open"] == 0)
    service.wait_for_log("HTTP request completed", outcome="client_left")
    assert service.report()["inFlight"] == 0


def test_a_stream_comes_as_it_is_made(service: Service, simulator: Simulator) -> None:
    simulator.behave(pace="30s", events=5)

    with contextlib.closing(service.open_chat(stream=True)) as connection:
        text = read_until(connection, b"event: delta")

    assert b"event: done" not in text


def read_until(connection: socket.socket, mark: bytes) -> bytes:
    text = b""
    while mark not in text:
        chunk = connection.recv(65536)
        assert chunk, f"the connection ended before {mark!r}: {text!r}"
        text += chunk
    return text


class ScriptedUpstream:
    """Yields what the test says, when it says so."""

    def __init__(self) -> None:
        self.script: asyncio.Queue[list[Event] | Exception] = asyncio.Queue()

    async def open(self, _model: str, _conversation: Conversation, *, system: str | None) -> "ScriptedUpstream":  # noqa: ARG002  as the real one
        return self

    async def read(self) -> list[Event]:
        item = await self.script.get()
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        pass


class Connection:
    """A client's connection at the ASGI level."""

    def __init__(self, upstream: ScriptedUpstream, *, ping_seconds: float, began_seconds_ago: float = 0.0) -> None:
        settings = Settings.from_environment({"ANTHROPIC_MAX_RETRIES": "1", "REQUEST_TIMEOUT": "300s"})
        runtime = Runtime.create(settings, SystemPrompt(None))
        runtime.readiness.key_taken()
        runtime.calls = Calls(cast("Any", upstream), settings, runtime.metrics, budget=RetryBudget(percent=20))
        self.sent: list[Message] = []
        self.runtime = runtime
        self.reads = asyncio.Event()
        self.reads.set()
        self.sending = asyncio.Event()
        self._requests: asyncio.Queue[Message] = asyncio.Queue()
        self._requests.put_nowait({"type": "http.request", "body": b'{"message": "x", "stream": true}', "more_body": False})
        self._app = Chat(runtime, ping_seconds=ping_seconds)
        self._began = time.perf_counter() - began_seconds_ago

    async def run(self) -> None:
        scope = {"type": "http"}
        Exchange("id", "127.0.0.1", {b"content-type": b"application/json"}, started=self._began).attach(scope)
        await self._app(scope, self._requests.get, self.send)

    async def send(self, message: Message) -> None:
        self.sending.set()
        await self.reads.wait()
        self.sent.append(message)

    @property
    def names(self) -> list[str]:
        body = b"".join(message.get("body", b"") for message in self.sent).decode()
        return [line.removeprefix("event: ") for line in body.split("\n") if line.startswith("event: ")]

    async def wait_for(self, condition: Callable[[list[str]], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition(self.names):  # noqa: ASYNC110  the condition is on what was sent
                await asyncio.sleep(0)


async def test_pings_come_before_during_and_never_after_an_answer() -> None:
    upstream = ScriptedUpstream()
    connection = Connection(upstream, ping_seconds=0.01)
    running = asyncio.create_task(connection.run())

    await connection.wait_for(lambda names: names == ["ping"])
    upstream.script.put_nowait([Started("m", "claude"), Delta("a")])
    await connection.wait_for(lambda names: names[-1] == "ping" and "delta" in names)
    upstream.script.put_nowait([Finished("end_turn", Usage(1, 1))])
    await running

    names = [name for name in connection.names if name != "ping"]
    assert names == ["start", "delta", "done"]
    assert connection.names[-1] == "done"
    assert [message["type"] for message in connection.sent].count("http.response.start") == 1
    assert [message.get("more_body") for message in connection.sent[1:]].count(False) == 1


async def test_a_failure_after_a_ping_can_only_be_an_event() -> None:
    upstream = ScriptedUpstream()
    connection = Connection(upstream, ping_seconds=0.01)
    running = asyncio.create_task(connection.run())

    await connection.wait_for(lambda names: "ping" in names)
    upstream.script.put_nowait(UpstreamOverloaded("busy"))
    await running

    last = connection.sent[-1]["body"].decode()
    assert json.loads(last.split("data: ")[1]) == {"code": "overloaded", "detail": "busy", "retry_after": 1}


@pytest.mark.parametrize("sent", ["nothing", "a part"])
async def test_a_stream_that_is_cut_while_its_client_does_not_read_still_ends_with_its_error(sent: str) -> None:
    upstream = ScriptedUpstream()
    connection = Connection(upstream, ping_seconds=60)
    running = asyncio.create_task(connection.run())
    if sent == "a part":
        upstream.script.put_nowait([Started("m", "claude"), Delta("a")])
        await connection.wait_for(lambda names: "delta" in names)
    connection.reads.clear()
    connection.sending.clear()
    upstream.script.put_nowait([Started("m", "claude"), Finished("end_turn", Usage(1, 1))])
    await connection.sending.wait()

    connection.sending.clear()
    connection.runtime.drain.cut()
    async with asyncio.timeout(20):
        await connection.sending.wait()
    connection.reads.set()
    await running

    assert connection.names[-1] == "error"
    assert [message["type"] for message in connection.sent].count("http.response.start") == 1
    assert [message.get("more_body") for message in connection.sent[1:]].count(False) == 1


async def test_missed_pings_are_not_made_up_for() -> None:
    upstream = ScriptedUpstream()
    connection = Connection(upstream, ping_seconds=60, began_seconds_ago=200)
    running = asyncio.create_task(connection.run())

    await connection.wait_for(lambda names: names == ["ping"])
    await asyncio.wait([running], timeout=0.01)
    upstream.script.put_nowait([Started("m", "claude"), Finished("end_turn", Usage(1, 1))])
    await running

    assert connection.names == ["ping", "start", "done"]


async def test_an_unforeseen_error_in_a_stream_is_its_terminal_event_and_is_logged_with_where_it_was_raised() -> None:
    upstream = ScriptedUpstream()
    connection = Connection(upstream, ping_seconds=60)
    upstream.script.put_nowait([Started("m", "claude"), Delta("a")])
    upstream.script.put_nowait(ValueError("canary"))

    with capture_logs() as logged:
        await connection.run()

    [line] = logged
    trace = line.pop("stack_trace")
    assert line == {"event": "request failed", "log_level": "error", "correlation_id": "id"}
    assert re.search(r'/test_chat\.py", line \d+, in read\n.*\nbuiltins\.ValueError$', trace)
    assert connection.names == ["start", "delta", "error"]
    assert b'"code":"internal_error"' in connection.sent[-1]["body"]
    assert b"canary" not in connection.sent[-1]["body"] + trace.encode()


async def test_what_was_on_the_stack_of_a_failed_stream_is_let_go() -> None:
    upstream = ScriptedUpstream()
    connection = Connection(upstream, ping_seconds=60)
    problem = UpstreamOverloaded("busy")
    upstream.script.put_nowait([Started("m", "claude"), Delta("a")])
    upstream.script.put_nowait(problem)

    await connection.run()

    assert connection.names == ["start", "delta", "error"]
    assert problem.__traceback__ is None


async def test_events_of_one_read_are_sent_together() -> None:
    upstream = ScriptedUpstream()
    connection = Connection(upstream, ping_seconds=60)
    upstream.script.put_nowait([Started("m", "claude")])
    upstream.script.put_nowait([Delta("a"), Delta("b")])
    upstream.script.put_nowait([Delta("c"), Finished("end_turn", Usage(1, 1))])

    await connection.run()

    assert [len(message["body"].split(b"\n\n")) - 1 for message in connection.sent[1:]] == [3, 2]
