import contextlib
import fcntl
import gc
import itertools
import json
import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chatbot_service.server import collect_garbage_from_now_on, scrub_environment
from tests.conftest import Simulator, scheduling_lags
from tests.service.conftest import COMMAND, START_SECONDS, Service, clean_environment, start_service
from tests.waiting import wait_until

pytestmark = pytest.mark.programs


def test_once_everything_is_imported_only_what_comes_later_is_searched_for_garbage() -> None:
    gc.disable()
    try:
        collect_garbage_from_now_on()

        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.enable()


def test_every_variable_that_the_sdk_reads_is_removed() -> None:
    environ = dict.fromkeys(["ANTHROPIC_CUSTOM_HEADERS", "ANTHROPIC_API_KEY", "HTTPS_PROXY", "no_proxy", "PATH", "CLAUDE_MODEL"], "x")

    scrub_environment(environ)

    assert environ.keys() == {"PATH", "CLAUDE_MODEL"}


def test_no_peer_is_a_trusted_proxy_unless_it_is_said(service: Service) -> None:
    service.request("GET", "/health", headers={"x-forwarded-for": "6.6.6.6", "x-forwarded-proto": "https", "x-correlation-id": "peer-1"})

    assert service.wait_for_log("HTTP request completed", correlation_id="peer-1")["client_ip"] == "127.0.0.1"


def test_a_taken_port_ends_the_command_with_1_and_one_line(simulator: Simulator) -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        environment = clean_environment(PORT=str(port), ADMIN_PORT="0")

        result = subprocess.run([COMMAND], env=environment, capture_output=True, text=True, timeout=30, check=False)

    assert result.returncode == 1
    assert result.stderr == f"cannot listen on port {port} (PORT): Address already in use\n"


def test_it_is_live_before_the_sdk_is_loaded() -> None:
    with start_service(wait_ready=False) as service:
        live = service.request("GET", "/health/live", admin=True)

        assert live.status == 200
        assert service.log("api key is missing") == []


def test_a_healthy_start_warns_of_nothing(service: Service) -> None:
    started = itertools.takewhile(lambda line: line["message"] != "service ready", service.log_lines())

    assert [line for line in started if line["level"] not in ("debug", "info")] == []


def test_a_request_in_flight_is_finished_before_the_end(simulator: Simulator) -> None:
    simulator.behave(pace="100ms", events=20)
    with start_service(simulator, DRAIN_TIMEOUT="60s") as service, service.open_chat(stream=True) as connection:
        simulator.wait_until(lambda counts: counts["open"] == 1)
        service.process.terminate()
        service.wait_for_log("stopping")
        ready = service.request("GET", "/health/ready", admin=True)

        answer = read_all(connection)

        assert (ready.status, ready.json["checks"][0]["error"]) == (503, "draining")
        assert b"event: done" in answer
        assert service.process.wait(timeout=15) == 0
    assert service.log_lines()[-1]["message"] == "stopped"
    assert [line for line in service.log("service not ready") if line["reason"] == "draining"] == []


def test_a_process_that_has_no_descriptors_left_still_finishes_what_it_has(simulator: Simulator) -> None:
    simulator.behave(pace="100ms", events=20)
    with start_service(simulator, DRAIN_TIMEOUT="60s") as service, service.open_chat(stream=True) as connection:
        simulator.wait_until(lambda counts: counts["open"] == 1)
        taken = {int(path.name) for path in Path(f"/proc/{service.process.pid}/fd").iterdir()}
        limit = next(number for number in itertools.count() if number not in taken)
        resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
        with service.connect():
            service.process.terminate()

            assert b"event: done" in read_all(connection)
        assert service.process.wait(timeout=15) == 0


def test_the_drain_delay_ends_by_itself(simulator: Simulator) -> None:
    with start_service(simulator, DRAIN_DELAY="1s") as service:
        begin = time.monotonic()

        assert service.stop() == 0
        assert time.monotonic() - begin >= 1.0


def test_new_connections_are_served_during_the_drain_delay(simulator: Simulator) -> None:
    with start_service(simulator, DRAIN_DELAY="60s") as service:
        service.process.terminate()
        service.wait_for_log("stopping")

        assert service.request("GET", "/health/ready", admin=True).status == 503
        assert service.request("POST", "/api/chat", b'{"message": "Hi"}').status == 200
        assert service.stop() == 0  # a second signal skips the rest of the delay


def test_idle_connections_are_closed_after_the_delay_and_not_before(simulator: Simulator) -> None:
    with start_service(simulator, DRAIN_DELAY="60s") as service, service.connect() as idle, service.connect() as used:
        health = b"GET /health/live HTTP/1.1\r\nhost: test\r\n\r\n"
        for connection in (idle, used):
            connection.sendall(health)
            assert b"connection: close" not in read_answer(connection)
        service.process.terminate()
        service.wait_for_log("stopping")

        used.sendall(health)
        assert b"connection: close" in read_answer(used)
        assert not select.select([idle], [], [], 0)[0]
        service.process.terminate()
        assert read_all(idle) == b""


def test_a_stream_that_does_not_end_in_time_ends_with_an_error_event(simulator: Simulator) -> None:
    simulator.behave(stall_at=10)
    with start_service(simulator, DRAIN_TIMEOUT="1s") as service, service.open_chat(stream=True) as connection:
        begun = connection.recv(1)

        assert service.stop() == 0

        *_, error = (begun + read_all(connection)).decode().strip("0\r\n").split("event: ")
    assert error.startswith("error\n")
    assert json.loads(error.partition("data: ")[2])["code"] == "shutting_down"


def test_a_request_that_does_not_end_in_time_is_answered_503(simulator: Simulator) -> None:
    simulator.behave(stall_at=1)
    with start_service(simulator, DRAIN_TIMEOUT="1s") as service, service.open_chat() as connection:
        simulator.wait_until(lambda counts: counts["open"] == 1)

        assert service.stop() == 0

        answer = connection.recv(65536).lower()
    assert answer.startswith(b"http/1.1 503 ")
    assert b"\r\nconnection: close\r\n" in answer
    assert b"\r\nretry-after: 1\r\n" in answer
    assert b'"code":"shutting_down"' in answer


def test_a_second_signal_ends_what_is_in_flight_and_skips_the_delay(simulator: Simulator) -> None:
    simulator.behave(stall_at=10)
    with start_service(simulator, DRAIN_DELAY="60s", DRAIN_TIMEOUT="60s") as service, service.open_chat(stream=True) as connection:
        begun = connection.recv(1)
        service.process.terminate()
        service.wait_for_log("stopping")

        assert (service.report()["state"], service.request("GET", "/health/live", admin=True).status) == ("draining", 200)
        assert service.stop() == 0
        assert b"event: error" in begun + read_all(connection)


def test_a_third_signal_ends_it_at_once(simulator: Simulator) -> None:
    with start_service(simulator, DRAIN_DELAY="60s", DRAIN_TIMEOUT="60s") as service, service.connect() as connection:
        connection.sendall(b"POST /api/chat HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n")
        for message in ("stopping", "requests cut"):
            service.process.terminate()
            service.wait_for_log(message)

        assert service.stop() == 0
    assert service.log("stopped") == []


def test_a_persons_interrupt_skips_the_delay_and_lets_requests_end(simulator: Simulator) -> None:
    simulator.behave(pace="50ms", events=20)
    with start_service(simulator, DRAIN_DELAY="60s", DRAIN_TIMEOUT="60s") as service, service.open_chat(stream=True) as connection:
        begun = connection.recv(1)
        service.process.send_signal(signal.SIGINT)

        assert service.process.wait(timeout=30) == 0
        assert b"event: done" in begun + read_all(connection)


@contextlib.contextmanager
def start_unread() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a service whose log nobody reads and which has more to log than its pipe takes; lend its process and its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    reader, writer = os.pipe()
    with os.fdopen(reader), os.fdopen(writer, "wb") as output:
        fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, 4096)
        os.write(writer, bytes(4096))
        environment = clean_environment(PORT=str(port), ADMIN_PORT="0", ANTHROPIC_API_KEY="demo", ANTHROPIC_BASE_URL="http://127.0.0.1:9")
        with subprocess.Popen([COMMAND], env=environment, stdout=output) as process:
            try:
                wait_until(lambda: accepts(port))
                with socket.create_connection(("127.0.0.1", port)) as first:
                    first.sendall(b"GET /health/live HTTP/1.1\r\nhost: test\r\n\r\n")
                    read_answer(first)
                yield process, port
            finally:
                process.kill()


def test_a_second_signal_ends_it_within_two_seconds_whoever_does_not_read() -> None:
    with start_unread() as (process, port), socket.create_connection(("127.0.0.1", port)) as unfinished, scheduling_lags() as lags:
        unfinished.sendall(b"POST /api/chat HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n")
        process.terminate()
        wait_until(lambda: not accepts(port))

        process.terminate()
        second = time.monotonic()

        assert process.wait(timeout=15) == 0
        assert time.monotonic() - second < 2.0 + max(lags)


def test_what_is_no_request_is_logged_in_one_line(service: Service) -> None:
    with service.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n")
        answer = read_all(connection)

    correlation_id = json.loads(answer.partition(b"\r\n\r\n")[2])["correlation_id"]
    line = service.wait_for_log("request refused", correlation_id=correlation_id)
    assert line.keys() == {
        "level", "timestamp", "service", "correlation_id", "http_status", "client_ip", "reason", "message"
    }  # fmt: skip
    assert (line["level"], line["http_status"], line["client_ip"]) == ("warning", 400, "127.0.0.1")


def test_nothing_is_computed_after_the_last_request(simulator: Simulator) -> None:
    with start_service(simulator) as service:
        others, before = children_cpu_seconds(), cpu_seconds(service.process.pid)

        service.stop()

        assert children_cpu_seconds() - others - before < 0.3


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children_cpu_seconds() -> float:
    """Return what the children that have ended took."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def handles_sigterm(pid: int) -> bool:
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def has_loaded(library: str) -> Callable[[int], bool]:
    return lambda pid: library in Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.parametrize(
    "moment",
    [handles_sigterm, has_loaded("pydantic_core"), has_loaded("httptools"), has_loaded("jiter")],
    ids=["first moment", "imports", "ports", "import of the SDK"],
)
def test_sigterm_at_any_moment_of_the_start_ends_it_with_0(moment: Callable[[int], bool]) -> None:
    variables = {"ANTHROPIC_API_KEY": "demo", "ANTHROPIC_BASE_URL": "http://127.0.0.1:9", "DRAIN_DELAY": "60s"}  # nobody was sent here yet
    environment = clean_environment(PORT="0", ADMIN_PORT="0", **variables)
    with subprocess.Popen([COMMAND], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        wait_until(lambda: moment(process.pid), seconds=START_SECONDS, poll_seconds=0.001)

        with scheduling_lags() as lags:
            began = time.monotonic()
            process.terminate()
            _, errors = process.communicate(timeout=15)

    assert (process.returncode, errors) == (0, b"")
    assert time.monotonic() - began < 1.0 + max(lags)


def test_sigterm_is_not_lost_where_python_swallows_what_is_raised() -> None:
    program = """
        import os, signal, sys
        from chatbot_service.__main__ import main

        class Careless:
            def __del__(self):
                os.kill(os.getpid(), signal.SIGTERM)

        class Finder:
            def find_spec(self, name, *_):
                if name == "chatbot_service.command":
                    Careless()

        sys.meta_path.insert(0, Finder())
        main()
    """
    environment = clean_environment(PORT="0", ADMIN_PORT="0")

    result = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], env=environment, capture_output=True, timeout=15, check=False)

    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def read_answer(connection: socket.socket) -> bytes:
    """Return one answer that has a Content-Length, in lower case."""
    answer = b""
    while not (length := re.search(rb"content-length: (\d+)", answer)) or len(answer.partition(b"\r\n\r\n")[2]) < int(length[1]):
        chunk = connection.recv(65536)
        assert chunk
        answer += chunk.lower()
    return answer


def read_all(connection: socket.socket) -> bytes:
    """Return what comes until the service closes the connection."""
    answer = b""
    while chunk := connection.recv(65536):
        answer += chunk
    return answer
