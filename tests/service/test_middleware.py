import functools
import operator
import re
import uuid
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from chatbot_service.errors import ClientLeft, NotReady
from chatbot_service.exchange import Exchange
from chatbot_service.journal import Journal
from chatbot_service.middleware import SECURITY_HEADERS, Exchanges, answer_error, correlation_id, new_id
from chatbot_service.output import Output
from tests.conftest import Simulator
from tests.service.conftest import Service

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-correlation-id": "a.B_c-1"}, "a.B_c-1"),
        ({"x-request-id": "r-1"}, "r-1"),
        ({"x-correlation-id": "c-1", "x-request-id": "r-1"}, "c-1"),
        ({"x-correlation-id": "a" * 128}, "a" * 128),
    ],
)
def test_a_harmless_id_of_the_client_is_kept(headers: dict[str, str], expected: str) -> None:
    assert correlation_id({name.encode(): value.encode() for name, value in headers.items()}) == expected


@pytest.mark.parametrize("given", ["", "a b", "a" * 129, "a\nb", 'a"b', "é", "a/b"])
def test_any_other_is_replaced_by_a_uuid(given: str) -> None:
    assert UUID4.fullmatch(correlation_id({b"x-correlation-id": given.encode()}))


def test_no_two_ids_are_the_same_and_every_random_bit_of_them_is() -> None:
    ids = [uuid.UUID(new_id()).int for _ in range(1_000)]

    assert len(set(ids)) == len(ids)
    fixed = ~(functools.reduce(operator.or_, ids) ^ functools.reduce(operator.and_, ids)) & (1 << 128) - 1
    assert fixed.bit_count() == 6  # of a version and a variant


@pytest.mark.parametrize(
    ("path", "status", "allowed"),
    [
        ("/api/chat", 405, "POST"),
        ("/api/chat/", 404, None),
        ("/api/chat%0A", 404, None),
        ("/API/chat", 404, None),
        ("//api/chat", 404, None),
    ],
)
def test_a_path_is_known_by_every_letter_and_its_methods_are_told(service: Service, path: str, status: int, allowed: str | None) -> None:
    reply = service.request("GET", path)

    assert (reply.status, reply.headers.get("allow")) == (status, allowed)


def test_what_is_there_for_get_is_there_for_head(service: Service) -> None:
    reply = service.request("HEAD", "/health")

    assert (reply.status, reply.body) == (200, b"")
    assert service.request("POST", "/health").headers["allow"] == "GET, HEAD"


def test_the_id_is_echoed_on_errors_of_the_router_too(service: Service) -> None:
    for method, path, status in (("GET", "/nothing", 404), ("GET", "/health/", 404), ("GET", "/api/chat", 405)):
        reply = service.request(method, path, headers={"x-request-id": "id-7"})

        assert (reply.status, reply.headers["x-correlation-id"], reply.json["correlation_id"]) == (status, "id-7", "id-7")
        assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "body", "admin"),
    [
        ("POST", "/api/chat", {"message": "x"}, False),
        ("POST", "/api/chat", {"message": "x", "stream": True}, False),
        ("POST", "/api/chat", {}, False),
        ("GET", "/nothing", None, False),
        ("GET", "/health", None, False),
        ("GET", "/report", None, True),
    ],
)
def test_every_answer_has_the_security_headers_once(service: Service, method: str, path: str, body: object, *, admin: bool) -> None:
    reply = service.request(method, path, body, admin=admin)

    for name, value in SECURITY_HEADERS.items():
        assert reply.headers[name.decode()] == value.decode()  # of a header that comes twice the client makes one, with a comma


async def test_a_page_may_have_headers_of_its_own() -> None:
    own = (b"content-security-policy", b"default-src 'self'")

    async def page(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [own]})

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    exchanges = Exchanges(page, journal=Journal(Output.standard()), records=[])
    await exchanges({"type": "http", "method": "GET", "path": "/", "headers": [], "client": None}, never, send)

    headers = sent[0]["headers"]
    assert [field for field in headers if field[0] == own[0]] == [own]
    assert (b"x-content-type-options", b"nosniff") in headers


async def never() -> Any:
    raise AssertionError


async def answered(error: Exception, *, begun: bool = False) -> tuple[list[Message], Exchange]:
    """Return what `answer_error` sends, and the exchange after it; when it sends, nothing holds on to the stack any more."""
    sent: list[Message] = []
    exchange = Exchange("id-1", "127.0.0.1", path="/x", status=200 if begun else None)

    async def send(message: Message) -> None:
        assert error.__traceback__ is None
        sent.append(message)

    await answer_error(error, exchange, send)
    return sent, exchange


async def test_an_unforeseen_error_is_logged_with_where_it_was_raised_and_told_to_nobody(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    error = ValueError("canary-secret")
    sent: list[Message] = []

    async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise error

    async def send(message: Message) -> None:
        sent.append(message)

    exchanges = Exchanges(broken, journal=Journal(Output.standard()), records=[])
    headers = [(b"x-correlation-id", b"id-1")]
    with capture_logs() as logged:
        await exchanges({"type": "http", "method": "GET", "path": "/x", "headers": headers, "client": None}, never, send)

    [line] = logged
    trace = line.pop("stack_trace")
    assert line == {"event": "request failed", "log_level": "error", "correlation_id": "id-1", "http_path": "/x"}
    assert re.search(r'/test_middleware\.py", line \d+, in broken\n.*\nbuiltins\.ValueError$', trace)
    assert sent[0]["status"] == 500
    assert b"internal_error" in sent[1]["body"]
    assert b"canary-secret" not in sent[1]["body"] + trace.encode() + capfdbinary.readouterr().out


async def test_an_unforeseen_error_is_the_exchanges_code() -> None:
    _, exchange = await answered(ValueError())

    assert exchange.error_code == "internal_error"


async def test_a_problem_has_its_status_and_retry_after() -> None:
    sent, _ = await answered(NotReady("starting"))

    assert sent[0]["status"] == 503
    assert (b"retry-after", b"1") in sent[0]["headers"]


async def test_nothing_is_added_to_an_answer_that_has_begun() -> None:
    sent, exchange = await answered(ValueError(), begun=True)

    assert sent == []
    assert exchange.outcome == "error"


async def test_a_client_that_left_gets_nothing_and_is_logged_as_499() -> None:
    sent, exchange = await answered(ClientLeft())

    assert sent == []
    assert (exchange.outcome, exchange.final_status) == ("client_left", 499)


@pytest.mark.parametrize("error", [NotReady("starting"), ClientLeft(), ValueError()])
@pytest.mark.parametrize("told", [True, False])
async def test_what_was_on_the_stack_of_a_failed_request_is_let_go(error: Exception, *, told: bool) -> None:
    with pytest.raises(TimeoutError) as cause:
        raise TimeoutError
    error.__context__ = cause.value
    error.__cause__ = cause.value if told else None  # which also keeps the context from being told

    await answered(error)

    assert (error.__traceback__, cause.value.__traceback__) == (None, None)


def test_a_request_is_one_compact_line_with_the_keys_of_the_contract(service: Service) -> None:
    reply = service.chat(headers={"x-correlation-id": "line-1"})

    line = service.wait_for_log("HTTP request completed", correlation_id="line-1")
    assert list(line) == [
        "level", "timestamp", "service", "correlation_id", "http_method", "http_path", "http_status", "duration", "client_ip",
        "response_size", "message",
    ]  # fmt: skip
    assert line | {"timestamp": "", "duration": ""} == {
        "level": "info",
        "timestamp": "",
        "service": "general-purpose-chatbot",
        "correlation_id": "line-1",
        "http_method": "POST",
        "http_path": "/api/chat",
        "http_status": 200,
        "duration": "",
        "client_ip": "127.0.0.1",
        "response_size": len(reply.body),
        "message": "HTTP request completed",
    }
    assert re.fullmatch(r"[0-9.]+(µs|ms|s)", line["duration"])
    raw = next(text for text in service.lines if b'"line-1"' in text)
    assert b'"http_status":200' in raw
    assert b'"message":"HTTP request completed"}\n' in raw
    assert raw.startswith(b'{"level":"info","timestamp":"')


def test_the_answer_to_a_head_request_has_no_size(service: Service) -> None:
    service.request("HEAD", "/health", headers={"x-correlation-id": "head-1"})

    assert service.wait_for_log("HTTP request completed", correlation_id="head-1")["response_size"] == 0


def test_a_stream_is_logged_at_its_end_with_its_outcome(service: Service, simulator: Simulator) -> None:
    service.chat(stream=True, headers={"x-correlation-id": "line-2"})
    simulator.behave(overload_at=6, pace="1ms")
    service.chat(stream=True, headers={"x-correlation-id": "line-3"})

    done = service.wait_for_log("HTTP request completed", correlation_id="line-2")
    failed = service.wait_for_log("HTTP request completed", correlation_id="line-3")
    assert (done["http_status"], done["outcome"]) == (200, "done")
    assert (failed["http_status"], failed["outcome"], failed["error_code"]) == (200, "error", "overloaded")


def test_a_failed_call_is_logged_with_its_type_and_stack_trace(service: Service, simulator: Simulator) -> None:
    simulator.behave(error={"status": 529})

    service.chat(headers={"x-correlation-id": "line-4"})

    line = service.wait_for_log("anthropic api call failed", correlation_id="line-4")
    assert (line["level"], line["error_type"], line["upstream_status"]) == ("error", "overloaded_error", 529)
    assert line["upstream_request_id"].startswith("req_")
    assert "upstream.py" in line["stack_trace"]
    assert "UpstreamOverloaded" in line["stack_trace"]


def test_probes_on_the_admin_port_are_not_logged(service: Service) -> None:
    service.request("GET", "/health/ready", admin=True, headers={"x-correlation-id": "line-5"})
    service.request("GET", "/health/ready", headers={"x-correlation-id": "line-6"})

    service.wait_for_log("HTTP request completed", correlation_id="line-6")
    assert "line-5" not in service.output()
