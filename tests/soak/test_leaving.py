"""The client leaves: how soon the model's API is left too, whatever the request was waiting for."""

import contextlib
import itertools
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.conftest import Simulator, scheduling_lags
from tests.service.conftest import Service
from tests.soak.conftest import gauge, percentile, size, start_unlimited
from tests.soak.relay import Link, Relay, relay_to

pytestmark = pytest.mark.soak

CLIENTS = size(quick=20, full=1_000)
CANCEL_SECONDS = 0.1
PATIENCE_SECONDS = 5.0
LINGER_0_SECONDS = struct.pack("ii", 1, 0)
"""Makes close() reset the connection."""


def asked(_link: Link, _connection: socket.socket) -> None:
    """The model's API has the request."""


def answered(link: Link, _connection: socket.socket) -> None:
    """The model's API has begun to answer."""
    assert link.answered.wait(PATIENCE_SECONDS)


def told(_link: Link, connection: socket.socket) -> None:
    """The client has begun to read."""
    assert connection.recv(1)


def told_with_another_behind(link: Link, connection: socket.socket) -> None:
    """The client has begun to read, and has already sent its next request."""
    told(link, connection)
    connection.sendall(b"GET /health HTTP/1.1\r\nhost: test\r\n\r\n")


@dataclass(frozen=True)
class Phase:
    """What a request is waiting for when its client leaves."""

    stream: bool
    faults: dict[str, object]
    moment: Callable[[Link, socket.socket], None]


PHASES = {
    "JSON, before the head": Phase(stream=False, faults={"stall_at": 0}, moment=asked),
    "JSON, half way": Phase(stream=False, faults={"stall_at": 1}, moment=answered),
    "stream, before the head": Phase(stream=True, faults={"stall_at": 0}, moment=asked),
    "stream, before the first words": Phase(stream=True, faults={"stall_at": 2}, moment=answered),
    "stream, in a pause": Phase(stream=True, faults={"stall_at": 10}, moment=told),
    "stream, in full flow": Phase(stream=True, faults={"pace": "1ms", "events": 5_000}, moment=told),
    "stream, the next request sent": Phase(stream=True, faults={"stall_at": 10}, moment=told_with_another_behind),
}


@pytest.mark.parametrize("phase", PHASES.values(), ids=PHASES)
def test_the_models_api_is_left_within_100_ms(simulator: Simulator, phase: Phase) -> None:
    resets = itertools.islice(itertools.cycle((False, True)), CLIENTS)
    with relay_to(simulator) as relay, start_unlimited(relay.url) as service, scheduling_lags() as lags:
        simulator.behave(**phase.faults)

        seconds = [leave(service, relay, simulator, phase, reset=reset) for reset in resets]

        service.wait_until(lambda: gauge(service, "chatbot_requests_in_flight") == 0, seconds=PATIENCE_SECONDS)
    assert percentile(seconds, 99) <= CANCEL_SECONDS + max(lags)


def leave(service: Service, relay: Relay, simulator: Simulator, phase: Phase, *, reset: bool) -> float:
    """Ask, leave at the phase's moment, and return the seconds until the service closed its connection to the model's API."""
    with service.open_chat(stream=phase.stream) as connection:
        simulator.wait_until(lambda counts: counts["open"] == 1)
        link = relay.latest
        assert link is not None
        phase.moment(link, connection)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0_SECONDS)
        left_at = time.monotonic()
    assert link.closed.wait(PATIENCE_SECONDS), "the service holds on to a call that nobody waits for"
    simulator.wait_until(lambda counts: counts["open"] == 0)
    return link.closed_at - left_at


def test_a_client_that_leaves_the_queue_costs_no_call(simulator: Simulator) -> None:
    simulator.behave(stall_at=10)
    with (
        start_unlimited(simulator.url, MAX_IN_FLIGHT="1", QUEUE_TIMEOUT="60s") as service,
        service.open_chat("first", stream=True) as first,
    ):
        simulator.wait_until(lambda counts: counts["open"] == 1)
        with contextlib.ExitStack() as waiting:
            for _ in range(CLIENTS):
                waiting.enter_context(service.open_chat("second"))
            service.wait_until(lambda: gauge(service, "chatbot_requests_queued") == CLIENTS, seconds=PATIENCE_SECONDS)
        service.wait_until(lambda: gauge(service, "chatbot_requests_queued") == 0, seconds=PATIENCE_SECONDS)

        first.close()
        simulator.wait_until(lambda counts: counts["open"] == 0)
        simulator.behave()

        assert service.chat("third").status == 200
        assert simulator.requests()["by_path"]["/v1/messages"] == 2
