"""A model's API that says more than anybody takes in: the service holds little of it, whoever reads slowly or not at all."""

import contextlib
import itertools
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.service.conftest import Service
from tests.soak.conftest import KIB, MIB, bounded_growth, size, start_unlimited
from tests.soak.firehose import BEGIN, BLOCK, BLOCK_WORDS, ENDLESS_EVENT, ENDLESS_JSON, Firehose, start_firehose
from tests.soak.load import chat

pytestmark = pytest.mark.soak

CLIENTS = 20
STREAM_BLOCKS = 100 * MIB // len(BLOCK)
READS = size(quick=5_000, full=200_000)
READ_BYTES = 4_096
HELD_BYTES = CLIENTS * 256 * KIB + 5 * MIB
"""Buffers of both sides of every stream, and room for the allocator."""
WHOLE_BYTES = 32 * MIB
"""What one answer that has to be held whole may cost, before it is refused as endless."""


@pytest.fixture
def firehose() -> Iterator[Firehose]:
    with start_firehose(blocks=1) as firehose:
        yield firehose


@contextlib.contextmanager
def drinking(firehose: Firehose, *, held_bytes: int, **variables: str) -> Iterator[Service]:
    """Run a service that from now on holds no more than that above what it held after its first chats; the firehose is opened."""
    with start_unlimited(firehose.url, ANTHROPIC_MAX_RETRIES="1", **variables) as service:
        service.chat(stream=True)
        firehose.blocks, firehose.sent_blocks = STREAM_BLOCKS, 0
        with bounded_growth(service, held_bytes):
            yield service


def test_slow_readers_hold_the_models_api_back(firehose: Firehose) -> None:
    with drinking(firehose, held_bytes=HELD_BYTES) as service, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(slow_client(service)) for _ in range(CLIENTS)]
        firehose.wait_until_blocked()

        received = sum(len(client.recv(READ_BYTES)) for client in itertools.islice(itertools.cycle(clients), READS))

        firehose.wait_until_blocked()
        assert received >= READS * READ_BYTES / 2
        assert firehose.sent_blocks < CLIENTS * STREAM_BLOCKS / 2


def test_a_quick_reader_gets_all_of_it(firehose: Firehose) -> None:
    with drinking(firehose, held_bytes=HELD_BYTES) as service:
        body = service.chat(stream=True).body

    assert body.count(b"word ") == STREAM_BLOCKS * BLOCK_WORDS
    assert b"event: done" in body[-1_000:]


@dataclass(frozen=True)
class Endless:
    """An answer without an end: how it begins, what it goes on with, and how it is asked for."""

    begin: bytes
    block: bytes
    stream: bool = False
    variables: dict[str, str] = field(default_factory=dict)


ENDLESS = {
    "event": Endless(ENDLESS_EVENT, b"word " * 10_000, stream=True),
    "JSON answer": Endless(ENDLESS_JSON, b"word " * 10_000),
    "stream that is assembled": Endless(BEGIN, BLOCK, variables={"CLAUDE_MAX_TOKENS": "64000"}),
}


@pytest.mark.parametrize("endless", ENDLESS.values(), ids=ENDLESS)
def test_what_has_no_end_is_given_up(firehose: Firehose, endless: Endless) -> None:
    with drinking(firehose, held_bytes=WHOLE_BYTES, **endless.variables) as service:
        firehose.begin, firehose.block = endless.begin, endless.block

        answer = service.chat(stream=endless.stream)

        assert (answer.status, answer.json["code"]) == (502, "upstream_error")
        assert firehose.sent_blocks < firehose.blocks


@contextlib.contextmanager
def slow_client(service: Service) -> Iterator[socket.socket]:
    """Ask for a stream on a connection that takes in little at a time."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_BYTES)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", service.port))
        connection.sendall(chat(stream=True))
        yield connection
