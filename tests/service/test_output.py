"""Standard output that is slow, full, gone or closed: pipes and files of the test's own, and the whole service behind each of them."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import orjson
import pytest

from chatbot_service.output import CHUNK_BYTES, Output
from tests.conftest import Simulator
from tests.service.conftest import COMMAND, START_SECONDS, clean_environment

PIPE_BYTES = 65_536


class Pipe:
    """A pipe, and an output that writes into it."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.output = Output(self.writer, max_waiting_bytes=2 * PIPE_BYTES)

    def read(self) -> bytes:
        """Return what is in the pipe now."""
        read = b""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.reader, PIPE_BYTES):
                read += chunk
        return read

    def read_all(self) -> bytes:
        """Return what is in the pipe and what waits for it."""
        read = b""
        while chunk := self.read():
            read += chunk
            self.output.flush()
        return read


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    for descriptor in (pipe.reader, pipe.writer):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def lines_of(count: int) -> list[bytes]:
    return [b"%06d %b" % (number, b"x" * 1000) for number in range(count)]


def test_a_line_is_written_at_once(pipe: Pipe) -> None:
    pipe.output.write(b"one")

    assert pipe.read() == b"one\n"


def test_lines_that_are_kept_are_written_together_in_their_order() -> None:
    reader, writer = os.pipe2(os.O_DIRECT)  # each read takes what one write has put there
    output = Output(writer)

    for line in (b"one", b"two", b"three"):
        output.keep(line)
    output.flush()

    assert os.read(reader, PIPE_BYTES) == b"one\ntwo\nthree\n"
    os.close(reader)
    os.close(writer)


async def test_a_line_that_does_not_wait_takes_those_before_it_along(pipe: Pipe) -> None:
    pipe.output.keep(b"one")

    pipe.output.write(b"two")

    assert pipe.read() == b"one\ntwo\n"


async def test_the_end_waits_for_no_other_line(pipe: Pipe) -> None:
    pipe.output.keep(b"one")

    pipe.output.close(seconds=0.1)

    assert pipe.read() == b"one\n"


async def test_more_lines_at_once_than_may_wait_are_all_written_to_who_takes_them(tmp_path: Path) -> None:
    path, lines = tmp_path / "log", lines_of(100)
    with path.open("wb") as file:
        output = Output(file.fileno(), max_waiting_bytes=PIPE_BYTES)

        for line in lines:  # as thousands of streams that are cut at once
            output.keep(line)
        output.close(seconds=0.1)

    assert path.read_bytes().splitlines() == lines
    assert output.dropped == 0


def test_a_line_of_another_thread_is_taken_while_the_end_waits_for_the_reader(pipe: Pipe) -> None:
    while not pipe.output._waiting:
        pipe.output.write(b"x" * 1000)
    ending = threading.Thread(target=pipe.output.close, kwargs={"seconds": 0.2})

    ending.start()
    while ending.is_alive():
        pipe.output.write(b"last")

    assert pipe.read_all().endswith(b"last\n")


def test_a_full_pipe_keeps_nobody_waiting_and_gets_every_line_in_order_later(pipe: Pipe) -> None:
    lines = lines_of(100)

    for line in lines:
        pipe.output.write(line)
    first = pipe.read()
    pipe.output.flush()
    rest = pipe.read_all()

    assert PIPE_BYTES // 2 < len(first) <= PIPE_BYTES
    assert (first + rest).splitlines() == lines
    assert pipe.output.dropped == 0


def test_what_exceeds_the_limit_is_dropped_by_whole_lines_and_counted(pipe: Pipe) -> None:
    lines = lines_of(1_000)

    for line in lines:
        pipe.output.write(line)
    taken = pipe.read_all()

    kept = taken.splitlines()
    assert kept == lines[: len(kept)]
    assert 2 * PIPE_BYTES < len(taken) <= 3 * PIPE_BYTES
    assert pipe.output.dropped == len(lines) - len(kept)


def test_lines_are_taken_again_after_some_were_dropped(pipe: Pipe) -> None:
    for line in lines_of(1_000):
        pipe.output.write(line)
    pipe.read_all()

    pipe.output.write(b"later")

    assert pipe.read() == b"later\n"


def test_long_lines_count_only_as_long_as_they_wait(pipe: Pipe) -> None:
    line = b"x" * (5 * CHUNK_BYTES - 1)
    for _ in range(6):
        pipe.output.write(line)

    for _ in range(100):
        os.read(pipe.reader, len(line) + 1)
        pipe.output.write(line)

    assert pipe.output.dropped == 0


def test_a_line_longer_than_the_pipe_arrives_whole(pipe: Pipe) -> None:
    line = b"x" * (PIPE_BYTES + 3 * CHUNK_BYTES)

    pipe.output.write(line)
    read = pipe.read()
    pipe.output.write(b"next")

    assert read + pipe.read() == line + b"\nnext\n"


def test_a_reader_that_is_gone_is_noticed_by_the_count_alone(pipe: Pipe) -> None:
    os.close(pipe.reader)

    pipe.output.write(b"one")
    pipe.output.write(b"two")

    assert pipe.output.dropped == 2


def test_a_line_that_is_logged_while_another_is_written_comes_after_it(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    class Collector:
        """Logs at the worst moment, as the garbage collector may."""

        nested = False

        def poll(self, _timeout: float) -> bool:
            if not self.nested:
                self.nested = True
                pipe.output.write(b"inner")
            return True

    monkeypatch.setattr(pipe.output, "_poll", Collector())

    pipe.output.write(b"outer")

    assert pipe.read() == b"outer\ninner\n"


def test_the_end_waits_for_the_reader_but_not_for_ever(pipe: Pipe) -> None:
    for line in lines_of(100):
        pipe.output.write(line)

    pipe.output.close(seconds=0.05)

    assert len(pipe.read()) <= PIPE_BYTES
    pipe.output.close(seconds=5)
    assert pipe.read().endswith(b"x\n")


def test_a_line_that_a_full_disk_cuts_ends_before_the_next(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = f"""
        import os, resource, sys
        from chatbot_service.output import Output
        output = Output(os.open({str(log)!r}, os.O_WRONLY | os.O_CREAT))
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
        output.write(b"first")
        output.write(b"second")
        output.write(b"third")
        assert output.dropped == 2, output.dropped
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        output.write(b"fourth")
    """

    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=30)

    assert log.read_bytes() == b"first\nseco\nfourth\n"


def test_a_third_signal_leaves_no_line_behind() -> None:
    code = """
        import asyncio, signal
        from chatbot_service.exchange import Exchange
        from chatbot_service.files import SystemPrompt
        from chatbot_service.runtime import Runtime
        from chatbot_service.server import Process
        from chatbot_service.settings import Settings
        from chatbot_service.telemetry import configure_logging

        async def end() -> None:
            settings = Settings()
            output = configure_logging(settings)
            runtime = Runtime.create(settings, SystemPrompt(None), output=output)
            process = Process(runtime)
            for number in (1, 2):
                process._signalled(signal.SIGTERM)
            runtime.journal.add(Exchange("last", "127.0.0.1"), [lambda exchange: output.keep(exchange.correlation_id.encode())])
            process._signalled(signal.SIGTERM)

        asyncio.run(end())
    """

    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=30, stdout=subprocess.PIPE)

    assert ended.stdout.splitlines()[-1] == b"last"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
        return port


class Silent:
    """A service whose standard output nobody reads, or that has none: it is found by its ports alone."""

    def __init__(self, simulator: Simulator, *, stdout: int | None, close_stdout: bool = False) -> None:
        self.port, self.admin_port = free_port(), free_port()
        environment = clean_environment(
            PORT=str(self.port),
            ADMIN_PORT=str(self.admin_port),
            DRAIN_DELAY="0s",
            ANTHROPIC_BASE_URL=simulator.url,
            ANTHROPIC_API_KEY="demo",
            RATE_LIMIT_ENABLED="false",
        )
        command = ["sh", "-c", 'exec "$0" >&-', str(COMMAND)] if close_stdout else [str(COMMAND)]
        self.process = subprocess.Popen(command, env=environment, stdout=stdout, stderr=subprocess.PIPE)

    def get(self, path: str, *, admin: bool = False) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port if admin else self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()

    def wait_until_ready(self) -> None:
        end = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                if self.get("/health/ready", admin=True)[0] == 200:
                    return
            assert time.monotonic() < end
            assert self.process.poll() is None
            time.sleep(0.05)

    def end(self) -> tuple[int, bytes]:
        """Send SIGTERM; returns the exit code and what was written to standard error."""
        self.process.terminate()
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors

    def __enter__(self) -> Self:
        try:
            self.wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.mark.programs
def test_a_stuck_reader_stops_no_request_and_gets_every_line_when_it_reads_on(simulator: Simulator) -> None:
    reader, writer = os.pipe()
    requests = 3 * PIPE_BYTES // 250

    with Silent(simulator, stdout=writer) as service:
        os.close(writer)
        statuses = {service.get(f"/health?{number}")[0] for number in range(requests)}
        service.process.send_signal(signal.SIGTERM)
        with os.fdopen(reader, "rb") as output:
            lines = [orjson.loads(line) for line in output]
        code, errors = service.end()

    assert statuses == {200}
    assert sum(line["message"] == "HTTP request completed" for line in lines) == requests
    assert lines[-1]["message"] == "stopped"
    assert (code, errors) == (0, b"")


@pytest.mark.programs
def test_a_reader_that_went_away_stops_nothing(simulator: Simulator) -> None:
    reader, writer = os.pipe()
    os.close(reader)

    with Silent(simulator, stdout=writer) as service:
        os.close(writer)
        statuses = {service.get("/health")[0] for _ in range(10)}
        ended = service.end()

    assert (statuses, ended) == ({200}, (0, b""))


@pytest.mark.programs
def test_a_closed_standard_output_is_no_clients_connection(simulator: Simulator) -> None:
    with Silent(simulator, stdout=None, close_stdout=True) as service:
        answers = [service.get("/health") for _ in range(10)]
        ended = service.end()

    assert {status for status, _ in answers} == {200}
    assert all(orjson.loads(body)["status"] == "healthy" for _, body in answers)
    assert ended == (0, b"")
