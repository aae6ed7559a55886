"""The protocol spoken with pods, against a peer that sends exactly the given bytes; tests of the prober have a real HTTP server."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from chatbot_operator import errors
from chatbot_operator.reports import Connections

BODY = b'{"version":1}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n" + BODY


class Peer:
    """Answers each question with the next pieces of its script, and hangs when there are none left."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.script: list[list[bytes | None]] = []
        self.questions: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while question := await reader.readuntil(b"\r\n\r\n"):
                self.questions.append(question)
                for piece in self.script.pop(0) if self.script else []:
                    if piece is None:
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    async with server:
        yield peer


@pytest.fixture
async def connections(peer: Peer) -> AsyncIterator[Connections]:
    connections = Connections(port=peer.port, timeout_seconds=0.5)
    yield connections
    connections.close()


async def test_answer_may_come_in_pieces_and_the_connection_is_kept(peer: Peer, connections: Connections) -> None:
    peer.script = [[ANSWER[:20], ANSWER[20:-5], ANSWER[-5:]], [ANSWER]]

    assert await connections.fetch("127.0.0.1") == BODY
    assert await connections.fetch("127.0.0.1") == BODY
    assert peer.connections == 1
    assert peer.questions[0].startswith(b"GET /report HTTP/1.1\r\nHost: 127.0.0.1\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4097\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        ANSWER + b"HTTP/1.1 200 OK\r\n",
        b"x" * 5000,
        b"\xff\xfe\r\n\r\n",
    ],
)
async def test_what_is_no_plain_short_answer_is_refused_and_its_connection_closed(
    peer: Peer, connections: Connections, answer: bytes
) -> None:
    peer.script = [[answer], [ANSWER]]

    with pytest.raises(errors.ReportInvalid):
        await connections.fetch("127.0.0.1")

    assert await connections.fetch("127.0.0.1") == BODY
    assert peer.connections == 2


async def test_silence_ends_with_the_timeout(connections: Connections) -> None:
    with pytest.raises(TimeoutError):
        await connections.fetch("127.0.0.1")


async def test_cut_answer_is_refused(peer: Peer, connections: Connections) -> None:
    peer.script = [[ANSWER[:-5], None]]

    with pytest.raises(errors.ReportInvalid, match="closed"):
        await connections.fetch("127.0.0.1")


async def test_connection_that_the_pod_wants_closed_is_not_kept(peer: Peer, connections: Connections) -> None:
    closing = ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    peer.script = [[closing], [ANSWER]]

    assert await connections.fetch("127.0.0.1") == BODY
    assert await connections.fetch("127.0.0.1") == BODY
    assert peer.connections == 2


async def test_connections_to_pods_that_are_gone_are_closed(peer: Peer, connections: Connections) -> None:
    peer.script = [[ANSWER], [ANSWER], [ANSWER]]
    await connections.fetch("127.0.0.1")

    connections.keep_only({"127.0.0.1"})
    await connections.fetch("127.0.0.1")
    connections.keep_only({"127.0.0.2"})
    await connections.fetch("127.0.0.1")

    assert peer.connections == 2
