"""An HTTP/1.1 client for one origin: connections that are kept and used again, one round trip at a time on each.

It never queues (what may be in flight is limited before), follows no redirect and knows no proxy. Everything that goes wrong is
raised as an UpstreamProblem.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from chatbot_service.connection import READ_BYTES, Connection, RoundTrip
from chatbot_service.errors import UpstreamProblem, UpstreamTimeout, UpstreamUnreachable

KEEP_SECONDS = 30.0

Resolve = Callable[[str, int], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where to connect to; `tls` is None for plain HTTP."""

    host: str
    port: int
    tls: ssl.SSLContext | None

    @classmethod
    def of(cls, url: str, *, ca_file: str | None = None) -> Self:
        """Return the origin of `url`, trusting the system's certificates and those in `ca_file`; raises OSError if it is unreadable."""
        parts = urlsplit(url)
        tls = _trust(ca_file) if parts.scheme == "https" else None
        return cls(parts.hostname or "", parts.port or (443 if tls else 80), tls)


async def resolve_name(host: str, port: int) -> list[str]:
    """Return the addresses of `host` in the order that the system prefers."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Wire:
    """The connections to one origin."""

    def __init__(
        self,
        origin: Origin,
        *,
        connect_seconds: float,
        may_resend: Callable[[], bool],
        keep_seconds: float = KEEP_SECONDS,
        resolve: Resolve = resolve_name,
    ) -> None:
        self._origin = origin
        self._resolve = resolve
        self._connect_seconds = connect_seconds
        self._may_resend = may_resend
        self._keep_seconds = keep_seconds
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._open: set[Connection] = set()
        self._idle: dict[Connection, None] = {}
        self._failed: dict[str, float] = {}
        self._closed = False

    @property
    def open_connections(self) -> int:
        """Return how many connections there are, in use or kept."""
        return len(self._open)

    @property
    def idle_connections(self) -> int:
        """Return how many connections are kept for the next request."""
        return len(self._idle)

    async def send(self, head: bytes, body: bytes, *, deadline: float) -> RoundTrip:
        """Send a request and return when the head of its answer is there, by `deadline` in the event loop's time.

        A kept connection may just have been closed by the other side: a request that was lost on one before a byte of its answer
        came is sent once more, on a new one, if it may be. The others that are kept are as old: they are closed, and lose no request.
        """
        if self._idle:
            trip = RoundTrip(self._idle.popitem()[0])
            try:
                return await trip.begin(head, body, deadline=deadline)
            except UpstreamUnreachable:
                if trip.answer.begun:
                    raise
                self._close_all(self._idle)
                if not self._may_resend():
                    raise
        return await RoundTrip(await self._connect(deadline)).begin(head, body, deadline=deadline)

    def close(self) -> None:
        """Close every connection, and make no new one; what is under way fails."""
        self._closed = True
        self._close_all(self._open)

    def keep(self, connection: Connection) -> None:
        """Take back a connection: the last to come is the next to go, so that the others can be closed when they are not needed."""
        self._idle[connection] = None
        connection.keep(self._keep_seconds)

    def forget(self, connection: Connection) -> None:
        """Strike off a connection that is gone."""
        self._open.discard(connection)
        self._idle.pop(connection, None)

    def _close_all(self, connections: Iterable[Connection]) -> None:
        for connection in tuple(connections):  # each strikes itself off
            connection.abort(_closed())

    async def _connect(self, deadline: float) -> Connection:
        """Try the origin's addresses one after the other, each for its share of the time, those last that failed last."""
        loop = asyncio.get_running_loop()
        deadline = min(deadline, loop.time() + self._connect_seconds)
        addresses = await self._addresses(deadline)
        while True:
            address = addresses.pop(0)
            left_seconds = deadline - loop.time()
            try:
                return await self._connect_to(address, left_seconds / (len(addresses) + 1))
            except UpstreamProblem as problem:
                self._failed[address] = loop.time()
                if not addresses or problem.error_type == "tls_error":
                    raise

    async def _addresses(self, deadline: float) -> list[str]:
        try:
            async with asyncio.timeout_at(deadline):
                addresses = await self._resolve(self._origin.host, self._origin.port)
        except TimeoutError as error:
            raise UpstreamTimeout("The name of the model's API is not resolved in time.") from error
        except (OSError, UnicodeError) as error:  # UnicodeError: a label of more than 63 characters
            raise UpstreamUnreachable("The name of the model's API cannot be resolved.") from error
        self._failed = {address: when for address, when in self._failed.items() if address in addresses}
        return sorted(addresses, key=lambda address: self._failed.get(address, 0.0))

    async def _connect_to(self, address: str, seconds: float) -> Connection:
        loop = asyncio.get_running_loop()
        tls = self._origin.tls
        try:
            async with asyncio.timeout(seconds):
                _, connection = await loop.create_connection(
                    lambda: Connection(self, loop, buffer=self._buffer),
                    address,
                    self._origin.port,
                    ssl=tls,
                    server_hostname=self._origin.host if tls else None,
                )
        except TimeoutError as error:
            raise UpstreamTimeout("The model's API cannot be connected to in time.") from error
        except ssl.SSLError as error:
            raise UpstreamUnreachable("The model's API speaks no TLS that can be trusted.", error_type="tls_error") from error
        except OSError as error:
            raise UpstreamUnreachable("The model's API cannot be reached.") from error
        if self._closed:
            connection.abort(_closed())
            raise _closed()
        self._open.add(connection)
        return connection


def _closed() -> UpstreamUnreachable:
    return UpstreamUnreachable("The connections to the model's API are closed.")


def _trust(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context
