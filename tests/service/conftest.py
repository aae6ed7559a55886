"""The real command as a process of its own, on free ports, and a client that speaks HTTP to it over sockets.

`start_service()` gives a test its own one; the fixture `service` lends the session's, pointed at the session's simulator.
"""

import asyncio
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Simulator

COMMAND = Path(sys.executable).with_name("chatbot-service")
START_SECONDS = 120.0


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run the tests of a module that names LOOP_FACTORIES once on each of them, all others on asyncio's own event loop."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]]
    loops = getattr(getattr(item, "module", None), "LOOP_FACTORIES", {"asyncio": asyncio.new_event_loop})
    return loops


@dataclass(frozen=True)
class Reply:
    """One answer, whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[tuple[str, Any]]:
        """The server-sent events as (name, data)."""
        blocks = self.body.decode().strip("\n").split("\n\n")
        return [
            (name.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
            for name, data in (block.split("\n") for block in blocks)
        ]


@dataclass
class Service:
    """A running service: its ports, its process, what it has written so far."""

    process: subprocess.Popen[bytes]
    lines: list[bytes] = field(default_factory=list)
    port: int = 0
    admin_port: int = 0

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: dict[str, str] | None = None,
        admin: bool = False,
        seconds: float = 20,
    ) -> Reply:
        """Send one request; `body` is sent as it is when it is bytes, else as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port if admin else self.port, timeout=seconds)
        with contextlib.closing(connection):
            given = {"content-type": "application/json"} if body is not None else {}
            data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before it was sent to its end: the answer is there
                connection.request(method, path, data, {**given, **(headers or {})})
            response = connection.getresponse()
            content = response.read()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, content)

    def chat(self, message: str = "Hello, how are you?", *, stream: bool = False, headers: dict[str, str] | None = None) -> Reply:
        """Ask one question."""
        return self.request("POST", "/api/chat", {"message": message, "stream": stream}, headers=headers)

    def connect(self) -> socket.socket:
        """Return a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def open_chat(self, message: str = "Hello", *, stream: bool = False, token: str = "") -> socket.socket:
        """Send a question and return the connection, the answer unread."""
        connection = self.connect()
        body = json.dumps({"message": message, "stream": stream}).encode()
        shown = f"x-api-key: {token}\r\n".encode() if token else b""
        head = b"POST /api/chat HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n"
        connection.sendall(head % (shown, len(body)) + body)
        return connection

    def report(self) -> dict[str, Any]:
        """Return the admin port's report."""
        report: dict[str, Any] = self.request("GET", "/report", admin=True).json
        return report

    def ready(self) -> bool:
        """Whether the admin port says that it is ready."""
        return self.request("GET", "/health/ready", admin=True).status == 200

    def wait_until(self, condition: Callable[[], bool], *, seconds: float = START_SECONDS) -> None:
        """Return as soon as `condition` holds; fails after `seconds` or when the process ended."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end or self.process.poll() is not None:
                pytest.fail(f"not so within {seconds} s; the service wrote: {self.output()}")
            time.sleep(0.02)

    def log(self, message: str) -> list[dict[str, Any]]:
        """Return the log lines with `message` so far."""
        return [line for line in self.log_lines() if line["message"] == message]

    def log_lines(self) -> list[dict[str, Any]]:
        """Return every log line so far."""
        return [json.loads(line) for line in list(self.lines)]

    def wait_for_log(self, message: str, *, seconds: float = START_SECONDS, **fields: object) -> dict[str, Any]:
        """Return the first log line with `message` and `fields`, waiting for it."""

        def found() -> list[dict[str, Any]]:
            return [line for line in self.log(message) if fields.items() <= line.items()]

        self.wait_until(lambda: bool(found()), seconds=seconds)
        return found()[0]

    def output(self) -> str:
        """Return everything on standard output so far."""
        return b"".join(list(self.lines)).decode()

    def stop(self, *, seconds: float = 15) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.terminate()
        return self.process.wait(timeout=seconds)

    def follow(self) -> None:
        """Collect the output until it ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)


def clean_environment(**variables: str) -> dict[str, str]:
    """Return an environment that configures nothing but `variables`."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "SSL_CERT_FILE") if name in os.environ}
    return {**kept, **variables}


@contextlib.contextmanager
def start_service(
    upstream: Simulator | None = None, *, wait_ready: bool = True, command: Sequence[str | Path] = (COMMAND,), **variables: str
) -> Iterator[Service]:
    """Run `chatbot-service` on free ports until the block ends, with `upstream` as its API; waits until it listens or is ready."""
    defaults = {"PORT": "0", "ADMIN_PORT": "0", "DRAIN_DELAY": "0s", "DRAIN_TIMEOUT": "2s"}
    if upstream is not None:
        defaults |= {"ANTHROPIC_BASE_URL": upstream.url}
        defaults |= {} if "ANTHROPIC_API_KEY_FILE" in variables else {"ANTHROPIC_API_KEY": "demo"}
    environment = clean_environment(**defaults | variables)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        service = Service(process)
        reader = threading.Thread(target=service.follow)
        reader.start()
        try:
            listening = service.wait_for_log("listening", seconds=START_SECONDS)
            service.port, service.admin_port = listening["port"], listening["admin_port"]
            if wait_ready:
                service.wait_until(service.ready)
            yield service
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(timeout=15)
            finally:
                process.kill()
                reader.join()


@pytest.fixture(scope="session")
def _session_service(_session_simulator: Simulator) -> Iterator[Service]:
    with start_service(
        _session_simulator,
        POD_UID="uid-1",
        POD_TEMPLATE_HASH="hash-1",
        ANTHROPIC_MAX_RETRIES="1",  # a failure of one test is one failure, and no other test's business
        BREAKER_FAILURE_THRESHOLD="1000000",
        ANTHROPIC_AUTH_TOKEN="invalid-token",
        FORWARDED_ALLOW_IPS="*",
        HTTP_PROXY="http://127.0.0.1:9",
        ALL_PROXY="http://127.0.0.1:9",
    ) as service:
        service.wait_for_log("service ready")  # the end of what test_a_healthy_start reads
        yield service


@pytest.fixture
def service(_session_service: Service, simulator: Simulator) -> Service:
    """The session's service, with the simulator behind it and a proxy and a token around it that it must not use."""
    return _session_service
