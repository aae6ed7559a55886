"""Clients that send a byte now and then, and clients that do not read: the others hardly notice them, and in the end they are cut."""

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Simulator, scheduling_lags
from tests.service.conftest import Service
from tests.soak.conftest import SOAK, complaints, gauge, percentile, size, start_unlimited
from tests.soak.load import Connection, chat, connected, get, in_parallel

pytestmark = pytest.mark.soak

SENDERS = size(quick=100, full=500)
READERS = size(quick=20, full=50)
ROUNDS = 5
REQUESTS = size(quick=400, full=2_000)
CLIENTS = 4
SLOWDOWN = 2.0
PATIENCE_SECONDS = 60.0


async def test_other_clients_hardly_notice_slow_ones(simulator: Simulator) -> None:
    with start_unlimited(simulator.url) as service:
        await answer_times(service)
        quiet, disturbed, late = [], [], []

        for _ in range(ROUNDS):
            quiet.append(percentile(await answer_times(service), 99))
            with slow_senders(service), stalled_readers(service, simulator), scheduling_lags() as lags:
                disturbed.append(percentile(await answer_times(service), 99))
            late.append(percentile(lags, 99))  # what the slow clients themselves take of this machine is not the service's doing

        assert statistics.median(disturbed) <= SLOWDOWN * statistics.median(quiet) + statistics.median(late), (quiet, disturbed, late)
        assert complaints(service) == []


async def test_the_admin_port_answers_beside_slow_clients(simulator: Simulator) -> None:
    with start_unlimited(simulator.url) as service, slow_senders(service), stalled_readers(service, simulator):
        async with connected(service.admin_port) as probe:
            answers = [await probe.ask(get("/health")) for _ in range(REQUESTS)]

        assert {answer.status for answer in answers} == {200}


@pytest.mark.skipif(not SOAK, reason="waits for half a minute; the protocol's own tests do not")
def test_slow_clients_are_cut(simulator: Simulator) -> None:
    with start_unlimited(simulator.url) as service, contextlib.ExitStack() as clients:
        with slow_senders(service):
            clients.enter_context(stalled_readers(service, simulator))
            service.wait_until(lambda: len(service.log("request refused")) >= SENDERS // 2, seconds=PATIENCE_SECONDS)
        service.wait_until(lambda: len(service.log("connection cut, the client reads nothing")) == READERS, seconds=PATIENCE_SECONDS)

        assert {line["http_status"] for line in service.log("request refused")} == {408}
        service.wait_until(lambda: gauge(service, "chatbot_requests_in_flight") == 0)
        assert complaints(service) == []


async def answer_times(service: Service) -> list[float]:
    """Return how many seconds each of some requests takes."""
    seconds: list[float] = []

    async def ask(connection: Connection) -> None:
        for _ in range(REQUESTS // CLIENTS):
            answer = await connection.ask(chat())
            assert answer.status == 200
            seconds.append(answer.seconds)

    await in_parallel(service.port, CLIENTS, ask)
    return seconds


@contextlib.contextmanager
def slow_senders(service: Service) -> Iterator[None]:
    """Have SENDERS clients that send slowly."""
    arguments = [sys.executable, "-m", "tests.soak.slow_senders", str(service.port), str(SENDERS)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"sending\n"
            yield
        finally:
            process.kill()


@contextlib.contextmanager
def stalled_readers(service: Service, simulator: Simulator) -> Iterator[None]:
    """Have READERS clients that do not read what they have asked for, all of them held back by now."""
    simulator.behave(events=20_000)
    with contextlib.ExitStack() as connections:
        for _ in range(READERS):
            connection = connections.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", service.port))
            connection.sendall(chat(stream=True))
        service.wait_until(lambda: gauge(service, "chatbot_requests_in_flight") == READERS)
        wait_until_idle(service)
        simulator.behave()
        yield


def wait_until_idle(service: Service) -> None:
    """Return when the service has hardly used the CPU for a while."""
    end = time.monotonic() + PATIENCE_SECONDS
    before = -1.0
    while (now := cpu_seconds(service)) - before > 0.02:
        assert time.monotonic() < end
        before = now
        time.sleep(0.25)


def cpu_seconds(service: Service) -> float:
    fields = Path(f"/proc/{service.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
