"""Keys and prompts changed under a running service as kubelet changes them, with clients that must not notice."""

import asyncio
import http.client
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import Simulator
from tests.service.conftest import Service, start_service
from tests.service.mounts import MountedSecret

pytestmark = pytest.mark.programs

CLIENTS = 8


@dataclass(frozen=True)
class Seen:
    """A request that came to the model's API."""

    at: float
    key: str
    asks_about_model: bool
    system: str | None


@dataclass
class Gate:
    """Stands before the simulator: sees every key, and refuses or cannot judge what it is told to."""

    target: str
    url: str = ""
    refused: set[str] = field(default_factory=set)
    unjudgeable: bool = False
    seen: list[Seen] = field(default_factory=list)

    def messages(self, key: str) -> list[Seen]:
        """Return the requests for messages with `key`."""
        return [seen for seen in list(self.seen) if seen.key == key and not seen.asks_about_model]


@contextmanager
def gate_to(simulator: Simulator) -> Iterator[Gate]:
    gate = Gate(urlsplit(simulator.url).netloc)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            self.request_body = b""
            super().handle_one_request()

        def do_GET(self) -> None:
            self.respond(asks_about_model=True)

        def do_POST(self) -> None:
            self.request_body = self.rfile.read(int(self.headers["content-length"]))
            self.respond(asks_about_model=False)

        def respond(self, *, asks_about_model: bool) -> None:
            key = self.headers["authorization"].removeprefix("Bearer ")
            system = json.loads(self.request_body or b"{}").get("system")
            gate.seen.append(Seen(time.monotonic(), key, asks_about_model, system))
            if key in gate.refused:
                self.answer(401, b"{}")
            elif asks_about_model and gate.unjudgeable:
                self.answer(500, b"{}")
            else:
                self.forward()

        def forward(self) -> None:
            with closing(http.client.HTTPConnection(gate.target, timeout=10)) as upstream:
                upstream.request(self.command, self.path, self.request_body, dict(self.headers))
                response = upstream.getresponse()
                self.answer(response.status, response.read())

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        gate.url = f"http://127.0.0.1:{server.server_address[1]}"
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield gate
        finally:
            server.shutdown()
            serving.join()


class Clients:
    """Ask one question after the other until they are stopped."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stopped = False
        self.statuses: list[int] = []

    async def until(self, condition: Callable[[], bool], *, more: int = 0) -> None:
        """Return when `condition` holds and so many more requests have been answered."""
        await _until(condition)
        answered = len(self.statuses) + more
        await _until(lambda: len(self.statuses) >= answered)

    async def ask(self) -> None:
        """Be one client."""
        body = json.dumps({"message": "Hello"}).encode()
        head = b"POST /api/chat HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        while not self._stopped:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._service.port)
            writer.write(head % len(body) + body)
            answer = await reader.read()
            writer.close()
            self.statuses.append(int(answer[9:12]))

    def stop(self) -> None:
        """End after the answers that are awaited."""
        self._stopped = True


async def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


@asynccontextmanager
async def load_on(service: Service) -> AsyncIterator[Clients]:
    """Have clients ask as long as the block runs."""
    clients = Clients(service)
    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(clients.ask())
        try:
            yield clients
        finally:
            clients.stop()


@contextmanager
def start_with_files(gate: Gate, mounted: MountedSecret, **variables: str) -> Iterator[Service]:
    environment: dict[str, Any] = {
        "ANTHROPIC_API_KEY_FILE": str(mounted.path("key")),
        "ANTHROPIC_BASE_URL": gate.url,
        "ANTHROPIC_MAX_RETRIES": "1",
        "RATE_LIMIT_ENABLED": "false",
        **variables,
    }
    with start_service(**environment) as service:
        yield service


async def test_a_new_key_is_used_at_once_and_no_request_fails(simulator: Simulator, tmp_path: Path) -> None:
    mounted = MountedSecret(tmp_path, key="first\n")

    with gate_to(simulator) as gate, start_with_files(gate, mounted) as service:
        async with load_on(service) as clients:
            await clients.until(lambda: len(gate.messages("first")) > 20)
            mounted.swap(key="second\n")
            swapped = time.monotonic()
            await clients.until(lambda: bool(gate.messages("second")), more=100)
        report = service.report()

    first_use = gate.messages("second")[0].at
    assert set(clients.statuses) == {200}
    assert first_use - swapped < 2
    assert [seen for seen in gate.messages("first") if seen.at > first_use + 1] == []
    assert [seen.key for seen in gate.seen if seen.asks_about_model] == ["first", "second"]
    assert report["credentials"]["state"] == "Accepted"


async def test_a_refused_key_is_never_used_and_told_and_no_request_fails(simulator: Simulator, tmp_path: Path) -> None:
    mounted = MountedSecret(tmp_path, key="first")

    with gate_to(simulator) as gate, start_with_files(gate, mounted) as service:
        async with load_on(service) as clients:
            await clients.until(lambda: len(gate.messages("first")) > 20)
            mounted.swap(key="invalid-second")
            await clients.until(lambda: service.report()["credentials"]["state"] == "Rejected", more=100)
        ready, health = service.ready(), service.request("GET", "/health").json["status"]
        mounted.swap(key="third")
        service.wait_until(lambda: service.report()["credentials"]["state"] == "Accepted", seconds=10)
        service.chat()

    assert set(clients.statuses) == {200}
    assert gate.messages("invalid-second") == []
    assert (ready, health) == (True, "healthy")
    assert len(gate.messages("third")) == 1


async def test_a_key_that_cannot_be_judged_is_taken_once_the_old_one_is_refused(simulator: Simulator, tmp_path: Path) -> None:
    mounted = MountedSecret(tmp_path, key="first")

    with gate_to(simulator) as gate, start_with_files(gate, mounted) as service:
        gate.unjudgeable = True
        mounted.swap(key="second")
        service.wait_for_log("api key checked", outcome="unjudgeable", candidate=True)
        before = service.chat()
        gate.refused.add("first")
        refused = service.chat()
        after = service.chat()
        report = service.report()

    assert [reply.status for reply in (before, refused, after)] == [200, 502, 200]
    assert [len(gate.messages(key)) for key in ("first", "second")] == [2, 1]
    assert report["credentials"]["state"] == "Unverified"


async def test_a_key_that_is_revoked_while_in_use_is_told_within_seconds(simulator: Simulator, tmp_path: Path) -> None:
    mounted = MountedSecret(tmp_path, key="first")

    with gate_to(simulator) as gate, start_with_files(gate, mounted) as service:
        gate.refused.add("first")
        reply = service.chat()
        service.wait_until(lambda: service.report()["credentials"]["state"] == "Rejected", seconds=15)
        ready, health, state = service.ready(), service.request("GET", "/health").json, service.report()["state"]

    assert (reply.status, reply.json["code"]) == (502, "upstream_rejected")
    assert (ready, health["status"], state) == (True, "degraded", "degraded")
    assert health["readiness"]["checks"][0]["healthy"] is False


async def test_a_key_file_that_goes_leaves_the_old_key_in_use(simulator: Simulator, tmp_path: Path) -> None:
    mounted = MountedSecret(tmp_path, key="first")

    with gate_to(simulator) as gate, start_with_files(gate, mounted) as service:
        mounted.swap()
        service.wait_until(lambda: service.report()["credentials"]["state"] == "Missing", seconds=10)
        reply, ready = service.chat(), service.ready()
        mounted.swap(key="first")
        service.wait_until(lambda: service.report()["credentials"]["state"] == "Accepted", seconds=10)

    assert (reply.status, ready) == (200, True)
    assert {seen.key for seen in gate.seen} == {"first"}


async def test_a_new_prompt_holds_for_the_next_request(simulator: Simulator, tmp_path: Path) -> None:
    mounted = MountedSecret(tmp_path, key="first", prompt="Be brief.")

    with gate_to(simulator) as gate, start_with_files(gate, mounted, SYSTEM_PROMPT_FILE=str(mounted.path("prompt"))) as service:
        service.chat()
        mounted.swap(key="first", prompt="Be very brief.")
        service.wait_for_log("system prompt changed", seconds=10)
        service.chat()

    assert [seen.system for seen in gate.messages("first")] == ["Be brief.", "Be very brief."]


async def test_a_key_file_wins_over_the_variable_and_says_so(simulator: Simulator, tmp_path: Path) -> None:
    mounted = MountedSecret(tmp_path, key="from-file")

    with gate_to(simulator) as gate, start_with_files(gate, mounted, ANTHROPIC_API_KEY="from-variable") as service:
        service.chat()
        warning = service.wait_for_log("ANTHROPIC_API_KEY is ignored: ANTHROPIC_API_KEY_FILE is set")

    assert warning["level"] == "warning"
    assert {seen.key for seen in gate.seen} == {"from-file"}
