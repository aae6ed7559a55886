"""Words are planted wherever a secret may be, the service is put through everything, and none of them may show up in what it shows.

The model's API stands for one that quotes what it was sent wherever it can, as gateways in front of it do when they fail.
"""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Simulator
from tests.service.conftest import Reply, Service, start_service
from tests.service.mounts import MountedSecret

pytestmark = pytest.mark.programs

PLANTED = "quetzal"
"""In every planted word, and in nothing else."""
KEY, NEXT_KEY, SYSTEM, QUESTION, ANSWER, FIELD, TOKEN, WRONG_TOKEN = (
    f"{PLANTED}-{name}" for name in ("key", "next-key", "system", "question", "answer", "field", "token", "wrong-token")
)
FILES = {"key": KEY, "prompt": SYSTEM, "tokens": TOKEN}
CLIENT = {"authorization": f"Bearer {TOKEN}"}
OK = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\n"
START = {"type": "message_start", "message": {"id": ANSWER, "model": ANSWER, "usage": {"input_tokens": 1, "output_tokens": 1}}}
DELTA = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": ANSWER}}


def event(data: object) -> bytes:
    return b"event: e\ndata: %b\n\n" % json.dumps(data).encode()


def error_of(quoted: str, *, kind: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": quoted, "details": {"error_code": quoted}}, "request_id": quoted}


def answers(request: bytes) -> dict[str, bytes]:
    """Return every wrong answer to `request` by name, each of which quotes it."""
    quoted = request.decode()
    whole = {"id": quoted, "model": QUESTION, "content": [{"type": "text", "text": ANSWER}], "stop_reason": QUESTION}
    failures = {
        f"{status} {kind}": b"HTTP/1.1 %d %b\r\nconnection: close\r\n\r\n%b" % (status, QUESTION.encode(), json.dumps(error).encode())
        for status in (302, 400, 401, 402, 403, 404, 413, 418, 429, 500, 504, 529)
        for kind in ("api_error", QUESTION, KEY)
        for error in [error_of(quoted, kind=kind)]
    }
    return failures | {
        "no HTTP": QUESTION.encode() + b" " + request,
        "a broken head": b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % KEY.encode(),
        "no JSON": OK + request,
        "other JSON": OK + json.dumps({QUESTION: quoted}).encode(),
        "wrong types": OK + json.dumps(whole | {"usage": {"input_tokens": quoted, "output_tokens": quoted}}).encode(),
        "cut short": OK.replace(b"connection", b"content-length: 100000\r\nconnection") + request,
        "quoted names": OK + json.dumps(whole | {"usage": {"input_tokens": 1, "output_tokens": 1}}).encode(),
        "no events": EVENTS + request,
        "events of no JSON": EVENTS + b"data: %b\n\n" % request.replace(b"\r\n", b" "),
        "unknown events": EVENTS + event({"type": quoted}),
        "an error at once": EVENTS + event(error_of(quoted, kind=QUESTION)),
        "an error in the middle": EVENTS + event(START) + event(DELTA) + event(error_of(quoted, kind=QUESTION)),
        "a cut in the middle": EVENTS + event(START) + event(DELTA),
        "garbage in the middle": EVENTS + event(START) + event(DELTA) + event({"type": "content_block_delta", "delta": quoted}),
        "odd words in the end": EVENTS
        + event(START)
        + event(DELTA)
        + event({"type": "message_delta", "delta": {"stop_reason": QUESTION}, "usage": {"output_tokens": 1}})
        + event({"type": "message_stop"}),
    }


NAMES = tuple(answers(b""))


class Parrot(socketserver.ThreadingTCPServer):
    """A model's API that takes the key and answers every message as `name` says."""

    daemon_threads = True
    name = NAMES[0]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.asked: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Connection(socketserver.StreamRequestHandler):
    server: Parrot

    def handle(self) -> None:
        head = b"".join(iter(self.rfile.readline, b"\r\n"))
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        request = head + self.rfile.read(length)
        if head.startswith(b"GET"):
            self.wfile.write(OK + json.dumps({"id": "m", "lifecycle": QUESTION, "retires_at": None}).encode())
        else:
            self.server.asked.add(self.server.name)
            self.wfile.write(answers(request)[self.server.name])


@contextmanager
def parrot() -> Iterator[Parrot]:
    with Parrot() as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield server
        finally:
            server.shutdown()
            serving.join()


class Shown:
    """All that a service has shown to anybody but the client whose words they are."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._parts: list[bytes] = []

    def refused(self, reply: Reply) -> None:
        """Keep an answer that must not be one of the model's."""
        assert reply.status >= 400, reply
        self._parts.append(reply.body)

    def answered(self, reply: Reply) -> None:
        """Keep an answer, but for what the model said: text, ids and names are its client's."""
        if reply.status >= 400:
            self.refused(reply)
        elif reply.headers["content-type"].startswith("text/event-stream"):
            self._parts += [json.dumps(data).encode() for name, data in reply.events if name not in ("start", "delta", "done")]

    def admin(self, *paths: str) -> None:
        """Keep what the admin port shows."""
        for path in paths:
            reply = self._service.request("GET", path, admin=True)
            assert reply.status == 200, path
            self._parts.append(reply.body)

    def everything(self) -> str:
        """Return all of it, with the log."""
        return b"\n".join(self._parts).decode() + self._service.output()


@contextmanager
def started(upstream: str, mounted: MountedSecret, *, breaker_threshold: int) -> Iterator[Service]:
    environment: dict[str, Any] = {
        "ANTHROPIC_API_KEY_FILE": str(mounted.path("key")),
        "ANTHROPIC_BASE_URL": upstream,
        "ANTHROPIC_INITIAL_BACKOFF": "1ms",
        "ANTHROPIC_MAX_BACKOFF": "2ms",
        "BREAKER_FAILURE_THRESHOLD": str(breaker_threshold),
        "BREAKER_RESET_TIMEOUT": "10ms",
        "CLAUDE_FALLBACK_MODELS": "claude-haiku-5-5",
        "CLIENT_AUTH_MODE": "Token",
        "CLIENT_TOKENS_FILE": str(mounted.path("tokens")),
        "DEBUG_ENDPOINTS": "true",
        "LOG_LEVEL": "debug",
        "RATE_LIMIT_ENABLED": "false",
        "SYSTEM_PROMPT_FILE": str(mounted.path("prompt")),
    }
    with start_service(**environment) as service:
        yield service


@pytest.fixture
def mounted(tmp_path: Path) -> MountedSecret:
    return MountedSecret(tmp_path, **FILES)


def malformed_bodies() -> list[object]:
    return [
        f'{{"message": "{QUESTION}'.encode(),
        f"\xff{QUESTION}".encode("latin-1"),
        {"message": [QUESTION]},
        {"message": QUESTION, "messages": [{"role": "user", "content": QUESTION}]},
        {"messages": [{"role": QUESTION, "content": QUESTION}]},
        {"messages": [{"role": "assistant", "content": QUESTION}]},
        {"message": QUESTION, "stream": QUESTION},
        {"message": QUESTION, "temperature": QUESTION},
    ]


def assert_nothing_planted(shown: str, errors: bytes) -> None:
    found = [line for line in (shown + errors.decode()).splitlines() if PLANTED in line.lower()]
    assert found == []


def test_nothing_planted_shows_up_whatever_the_api_does(
    simulator: Simulator, mounted: MountedSecret, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    errors: list[dict[str, Any]] = [{"error": {"status": status}} for status in (400, 401, 403, 404, 413, 429, 500, 529)]
    faults: list[dict[str, Any]] = [
        {},
        *errors,
        {"garbage": True},
        {"redirect_to": "http://127.0.0.1:9/"},
        {"cut_at": 0},
        {"cut_at": 6},
        {"overload_at": 2},
        {"overload_at": 6},
    ]

    with started(simulator.url, mounted, breaker_threshold=5) as service:
        shown = Shown(service)
        for fault in faults:
            simulator.behave(**fault)
            for stream in (False, True):
                shown.answered(service.chat(QUESTION, stream=stream, headers=CLIENT))
        for body in malformed_bodies():
            shown.refused(service.request("POST", "/api/chat", body, headers=CLIENT))
        service.request("POST", "/api/chat", {FIELD: QUESTION}, headers=CLIENT)
        for wrong in ({"authorization": f"Bearer {WRONG_TOKEN}"}, {"authorization": WRONG_TOKEN}, {"x-api-key": WRONG_TOKEN}):
            shown.refused(service.chat(QUESTION, headers=wrong))
        shown.refused(service.request(PLANTED.upper(), "/api/chat", headers={"x-header": QUESTION}))
        simulator.behave(stall_at=4)
        with service.open_chat(QUESTION, stream=True, token=TOKEN):
            service.wait_until(lambda: service.report()["inFlight"] == 1)
            shown.admin(
                "/debug/stacks", "/debug/profile?seconds=0.1", "/debug/profile?seconds=0.1&format=collapsed", "/debug/heap?seconds=0.1"
            )
        mounted.swap(**FILES | {"key": f"invalid-{NEXT_KEY}", "tokens": f"{TOKEN}\ntwo {WRONG_TOKEN}"})
        service.wait_until(lambda: service.report()["credentials"]["state"] == "Rejected")
        mounted.swap(**FILES | {"key": f"two {NEXT_KEY}"})
        service.wait_for_log("api key is malformed")
        shown.admin("/report", "/metrics", "/health")
        assert service.stop() == 0

    for message in ("HTTP request completed", "client tokens ignored that are not 1 to 1024 printable ASCII characters"):
        assert service.log(message)
    assert service.log("anthropic api call failed")
    assert service.log("circuit breaker opened")
    assert_nothing_planted(shown.everything(), capfdbinary.readouterr().err)


def test_nothing_planted_shows_up_though_the_api_quotes_it(mounted: MountedSecret, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with parrot() as upstream, started(upstream.url, mounted, breaker_threshold=1_000_000) as service:
        shown = Shown(service)
        for upstream.name in NAMES:
            for stream in (False, True):
                shown.answered(service.chat(QUESTION, stream=stream, headers=CLIENT))
        shown.admin("/report", "/metrics", "/health", "/debug/stacks")
        assert service.stop() == 0

    assert upstream.asked == set(NAMES)
    assert_nothing_planted(shown.everything(), capfdbinary.readouterr().err)
