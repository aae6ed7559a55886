"""A client over kept-alive connections, cheap enough to load the service from one process: asks, and times the whole answer."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """One answer, whole, and the seconds from the request to its last byte."""

    status: int
    head: bytes
    body: bytes
    seconds: float


class Connection:
    """One connection to the service, made anew when the service closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> Answer:
        """Send `request` and return its answer."""
        began = time.monotonic()
        reader, writer = await self._open()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        body = await _read_body(reader, head.lower())
        if b"connection: close" in head.lower():
            self.close()
        return Answer(int(head[9:12]), head, body, time.monotonic() - began)

    async def abandon(self, request: bytes, *, after_bytes: int) -> None:
        """Send `request` on a connection of its own, read the first bytes of its answer, and leave."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(request)
        if after_bytes:
            await reader.readexactly(after_bytes)
        writer.transport.abort()

    @property
    def kept(self) -> bool:
        """Whether the connection is open on both sides."""
        return self._reader is not None and not self._reader.at_eof()

    def close(self) -> None:
        """Close the connection, if it is open."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self._reader, self._writer


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    """Give a connection that is closed at the end."""
    connection = Connection(port)
    try:
        yield connection
    finally:
        connection.close()


def chat(message: str = "Hello", *, stream: bool = False) -> bytes:
    """Return the request of one question."""
    return post("/api/chat", json.dumps({"message": message, "stream": stream}).encode())


def post(path: str, body: bytes) -> bytes:
    """Return a POST request with a JSON body."""
    return b"POST %b HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        path.encode(),
        len(body),
        body,
    )


def get(path: str) -> bytes:
    """Return a GET request."""
    return b"GET %b HTTP/1.1\r\nhost: test\r\n\r\n" % path.encode()


async def in_parallel(port: int, number: int, work: Callable[[Connection], Coroutine[None, None, None]]) -> None:
    """Do `work` on `number` connections at once."""

    async def run() -> None:
        async with connected(port) as connection:
            await work(connection)

    async with asyncio.TaskGroup() as group:
        for _ in range(number):
            group.create_task(run())


async def _read_body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if b"transfer-encoding: chunked" not in head:
        return await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    body = b""
    while length := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(length + 2))[:-2]
    await reader.readexactly(2)
    return body
