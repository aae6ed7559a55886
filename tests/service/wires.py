"""The HTTP client under test, and what tests ask of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chatbot_service.connection import RoundTrip
from chatbot_service.errors import UpstreamProblem
from chatbot_service.wire import Origin, Resolve, Wire, resolve_name
from tests.service.peers import Peer, PeerServer, serving, until, write_certificate

HEAD = b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: %d\r\n\r\n"


class Client:
    """A wire, and what the tests ask of it."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    async def send(self, body: bytes = b"x", *, seconds: float = 10) -> RoundTrip:
        deadline = asyncio.get_running_loop().time() + seconds
        return await self.wire.send(HEAD % len(body), body, deadline=deadline)

    async def ask(self, body: bytes = b"x", *, seconds: float = 10) -> tuple[int, bytes]:
        """Return the answer, whole."""
        deadline = asyncio.get_running_loop().time() + seconds
        trip = await self.send(body, seconds=seconds)
        return trip.answer.status, await trip.read_whole(deadline=deadline, limit_bytes=1_000_000)

    async def problem(self, body: bytes = b"x", *, seconds: float = 10) -> UpstreamProblem:
        """Return what the request fails with."""
        with pytest.raises(UpstreamProblem) as raised:
            await self.ask(body, seconds=seconds)
        return raised.value


@asynccontextmanager
async def client_of(
    url: str,
    *,
    connect_seconds: float = 5,
    keep_seconds: float = 30,
    ca_file: Path | None = None,
    resolve: Resolve = resolve_name,
    may_resend: Callable[[], bool] = lambda: True,
) -> AsyncIterator[Client]:
    origin = Origin.of(url, ca_file=str(ca_file) if ca_file else None)
    wire = Wire(origin, connect_seconds=connect_seconds, may_resend=may_resend, keep_seconds=keep_seconds, resolve=resolve)
    try:
        yield Client(wire)
    finally:
        wire.close()
        await until(lambda: not wire.open_connections)


@asynccontextmanager
async def talking(
    handle: Callable[[Peer], Awaitable[None]],
    *,
    folder: Path | None = None,
    keep_seconds: float = 30,
    connect_seconds: float = 5,
    may_resend: Callable[[], bool] = lambda: True,
) -> AsyncIterator[tuple[Client, PeerServer]]:
    """Lend a client and the server that it talks to: by TLS if there is a `folder` for its certificate."""
    ca_file, context = write_certificate(folder) if folder else (None, None)
    async with (
        serving(handle, tls=context) as server,
        client_of(server.url, keep_seconds=keep_seconds, connect_seconds=connect_seconds, ca_file=ca_file, may_resend=may_resend) as client,
    ):
        yield client, server
