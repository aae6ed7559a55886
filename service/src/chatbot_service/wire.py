"""An HTTP/1.1 client for one origin: connections that are kept and used again, one exchange at a time on each.

It bounds the time of everything and the memory of an answer that is read more slowly than it comes. It never queues (what may be in
flight is limited before), follows no redirect and knows no proxy. Everything that goes wrong is raised as an UpstreamProblem.
"""

import asyncio
import ssl
from dataclasses import dataclass
from typing import Self, cast
from urllib.parse import urlsplit

from chatbot_service.errors import UpstreamGarbage, UpstreamProblem, UpstreamTimeout, UpstreamUnreachable
from chatbot_service.http1 import AnswerParser

KEEP_SECONDS = 30.0
LINGER_SECONDS = 1.0
MAX_HELD_BYTES = 64 * 1024
MAX_WHOLE_BYTES = 32 * 1024 * 1024
PIECE_BYTES = 64 * 1024
TIMER_SLACK_SECONDS = 0.002
"""uvloop's timers count whole milliseconds."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where to connect to; `tls` is None for plain HTTP."""

    host: str
    port: int
    tls: ssl.SSLContext | None

    @classmethod
    def of(cls, url: str, *, ca_file: str | None = None) -> Self:
        """Return the origin of `url`, trusting the system's certificates and those in `ca_file`."""
        parts = urlsplit(url)
        tls = _trust(ca_file) if parts.scheme == "https" else None
        return cls(parts.hostname or "", parts.port or (443 if tls else 80), tls)


class Wire:
    """The connections to one origin."""

    def __init__(self, origin: Origin, *, connect_seconds: float, keep_seconds: float = KEEP_SECONDS) -> None:
        self._origin = origin
        self._connect_seconds = connect_seconds
        self._keep_seconds = keep_seconds
        self._closed = False
        self._open: set[_Connection] = set()
        self._idle: list[_Connection] = []

    @property
    def open_connections(self) -> int:
        """Return how many connections there are, in use or kept."""
        return len(self._open)

    @property
    def idle_connections(self) -> int:
        """Return how many connections are kept for the next request."""
        return len(self._idle)

    async def send(self, head: bytes, body: bytes, *, deadline: float) -> "Exchange":
        """Send a request and return when the head of its answer is there, by `deadline` in the event loop's time.

        A kept connection may have been closed by the other side just now: a request that it swallowed without a byte of an answer
        is sent once more, on a new one.
        """
        if self._idle:
            exchange = Exchange(self._idle.pop())
            try:
                return await exchange.begin(head, body, deadline=deadline)
            except UpstreamUnreachable:
                if exchange.answer.begun:
                    raise
        exchange = Exchange(await self._connect(deadline))
        return await exchange.begin(head, body, deadline=deadline)

    def close(self) -> None:
        """Close every connection, and make no new one; what is under way fails."""
        self._closed = True
        for connection in tuple(self._open):
            connection.abort(UpstreamUnreachable("The connections to the model's API are closed."))

    def keep(self, connection: "_Connection") -> None:
        """Take back a connection whose exchange is over, the last one to be the next used."""
        self._idle.append(connection)
        connection.watch(asyncio.get_running_loop().time() + self._keep_seconds)

    def opened(self, connection: "_Connection") -> None:
        """Count a connection."""
        self._open.add(connection)

    def closed(self, connection: "_Connection") -> None:
        """Forget a connection."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    async def _connect(self, deadline: float) -> "_Connection":
        if self._closed:
            raise UpstreamUnreachable("The connections to the model's API are closed.")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + self._connect_seconds)):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self, loop),
                    self._origin.host,
                    self._origin.port,
                    ssl=self._origin.tls,
                    server_hostname=self._origin.host if self._origin.tls else None,
                )
        except TimeoutError as error:
            raise UpstreamTimeout("The model's API cannot be connected to in time.") from error
        except ssl.SSLError as error:
            raise UpstreamUnreachable("The model's API cannot be trusted or does not speak TLS.", error_type="tls_error") from error
        except OSError as error:
            raise UpstreamUnreachable("The model's API cannot be reached.") from error
        return connection


class Exchange:
    """One request and its answer. The connection goes back by itself once the answer is whole."""

    __slots__ = ("_connection", "_problem", "_waiter", "answer", "lingers")

    def __init__(self, connection: "_Connection") -> None:
        self.answer = AnswerParser()
        self.lingers = False
        self._connection = connection
        self._problem: UpstreamProblem | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for the other side."""
        return self._waiter is not None

    async def begin(self, head: bytes, body: bytes, *, deadline: float) -> Self:
        """Send the request and wait for the answer's head."""
        connection = self._connection
        connection.exchange = self
        connection.write(head, body)
        while not self.answer.status:
            await self._wait(deadline)
        return self

    async def read(self, *, seconds: float) -> bytes:
        """Return what has come of the body since the last time, waiting `seconds` for it if need be; nothing at its end."""
        answer = self.answer
        while not answer.held_bytes and not answer.complete:
            await self._wait(self._connection.loop.time() + seconds)
        return self._take()

    async def read_whole(self, *, deadline: float) -> bytes:
        """Return the whole body."""
        body = bytearray()
        while not self.answer.complete:
            if not self.answer.held_bytes:
                await self._wait(deadline)
            body += self._take()
            if len(body) > MAX_WHOLE_BYTES:
                self.close()
                raise UpstreamGarbage("The answer of the model's API has no end.")
        return bytes(body + self._take())

    def close(self) -> None:
        """Break the exchange off at once, unless it is over."""
        if not self.answer.complete and self._connection.exchange is self:
            self._connection.abort(UpstreamUnreachable("The exchange is over."))

    def linger(self) -> None:
        """Give the rest of an answer that says no more a moment to come, so that the connection can be kept."""
        if not self.answer.complete and self._connection.exchange is self:
            self.lingers = True
            self._connection.watch(self._connection.loop.time() + LINGER_SECONDS)

    def wake(self) -> None:
        """Let the waiting task look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def fail(self, problem: UpstreamProblem) -> None:
        """End the exchange; what has come of the answer can still be read."""
        self._problem = self._problem or problem
        self.answer.release()
        self.wake()

    def _take(self) -> bytes:
        body = self.answer.take()
        if self._connection.exchange is self:
            self._connection.resume_reading()
        return body

    async def _wait(self, deadline: float) -> None:
        if self._problem is not None:
            raise self._problem
        self._connection.watch(deadline)
        self._waiter = self._connection.loop.create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._waiter = None


class _Connection(asyncio.Protocol):
    """One connection; `exchange` is None while it is kept."""

    __slots__ = ("_due", "_paused", "_rest", "_timer", "_transport", "_unwritable", "_wire", "exchange", "loop")

    def __init__(self, wire: Wire, loop: asyncio.AbstractEventLoop) -> None:
        self.exchange: Exchange | None = None
        self.loop = loop
        self._wire = wire
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._unwritable = False
        self._rest = memoryview(b"")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._wire.opened(self)

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:  # nobody asked
            self.abort()
            return
        answer = exchange.answer
        try:
            answer.feed(data)
        except UpstreamGarbage as problem:
            self.abort(problem)
            return
        if answer.complete:
            self._settle(exchange)
        elif answer.held_bytes > MAX_HELD_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        exchange.wake()

    def connection_lost(self, error: Exception | None) -> None:
        exchange = self.exchange
        if exchange is not None and error is None:
            exchange.answer.end()
        self.abort(_broken(error, begun=exchange is not None and exchange.answer.begun))
        self._wire.closed(self)

    def pause_writing(self) -> None:
        self._unwritable = True

    def resume_writing(self) -> None:
        self._unwritable = False
        self._write_on()

    def write(self, head: bytes, body: bytes) -> None:
        """Send the request, a large one in pieces as fast as they go out."""
        if len(body) <= PIECE_BYTES:
            self._transport.write(head + body)
        else:
            self._rest = memoryview(body)
            self._transport.write(head)
            self._write_on()

    def watch(self, due: float) -> None:
        """Have what goes on then ended at `due`, instead of at any earlier time. The timer is only moved when it would be late."""
        self._due = due
        if self._timer is None or self._timer.when() > due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.loop.call_at(due, self._expire)

    def resume_reading(self) -> None:
        """Go on reading, now that what was read is gone."""
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def abort(self, problem: UpstreamProblem | None = None) -> None:
        """Close the connection at once."""
        exchange, self.exchange = self.exchange, None
        self._rest = memoryview(b"")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport.abort()
        self._wire.closed(self)
        if exchange is not None and problem is not None:
            exchange.fail(problem)

    def _write_on(self) -> None:
        while self._rest and not self._unwritable:
            self._transport.write(self._rest[:PIECE_BYTES])
            self._rest = self._rest[PIECE_BYTES:]

    def _settle(self, exchange: Exchange) -> None:
        """Keep the connection for the next request, if both sides are done with this one."""
        if not exchange.answer.reusable or self._rest:
            self.abort()
            return
        self.exchange = None
        self.resume_reading()
        self._wire.keep(self)

    def _expire(self) -> None:
        self._timer = None
        exchange = self.exchange
        if exchange is not None and not exchange.awaited and not exchange.lingers:
            return  # the reader, not the other side, takes its time
        if self._due - self.loop.time() > TIMER_SLACK_SECONDS:
            self._timer = self.loop.call_at(self._due, self._expire)
        else:
            self.abort(UpstreamTimeout("The model's API did not answer in time."))


def _broken(error: Exception | None, *, begun: bool) -> UpstreamProblem:
    if error is None and begun:
        return UpstreamGarbage("The model's answer ended before its end.", error_type="truncated")
    problem = UpstreamUnreachable("The connection to the model's API broke.")
    problem.__cause__ = error
    return problem


def _trust(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context
