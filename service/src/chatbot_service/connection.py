"""One connection to the model's API and the round trips that follow each other on it.

It bounds the time that the other side may take and the memory of an answer that is read more slowly than it comes; there is one timer
a connection, whatever goes on. It tells its wire when it is free again and gone, and knows nothing else of it.
"""

import asyncio
from typing import TYPE_CHECKING, Self, cast

from chatbot_service.deadline import Deadline
from chatbot_service.errors import UpstreamGarbage, UpstreamProblem, UpstreamTimeout, UpstreamUnreachable
from chatbot_service.http1 import AnswerParser

if TYPE_CHECKING:
    from chatbot_service.wire import Wire

LINGER_SECONDS = 1.0
MAX_HELD_BYTES = 32 * 1024
READ_BYTES = 32 * 1024
PIECE_BYTES = 64 * 1024


class RoundTrip:
    """One request and its answer. The connection is free again by itself as soon as the answer is whole."""

    __slots__ = ("_connection", "_problem", "_waiter", "answer", "lingers")

    def __init__(self, connection: "Connection") -> None:
        self.answer = AnswerParser()
        self.lingers = False
        self._connection = connection
        self._problem: UpstreamProblem | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for the other side, which has not answered yet."""
        return self._waiter is not None and not self._waiter.done()

    async def begin(self, head: bytes, body: bytes, *, deadline: float) -> Self:
        """Send the request and return when the answer's head is there."""
        self._connection.start(self, head, body)
        while not self.answer.status:
            await self._wait(deadline)
        return self

    async def read(self, *, seconds: float) -> bytes:
        """Return what has come of the body since the last time, waiting `seconds` for it if need be; nothing at its end."""
        while not self.answer.body and not self.answer.complete:
            await self._wait(self._connection.loop.time() + seconds)
        return self._take()

    async def read_whole(self, *, deadline: float, limit_bytes: int) -> bytes:
        """Return the whole body; raises UpstreamGarbage, and breaks off, when it is longer than `limit_bytes`."""
        pieces, length = list[bytes](), 0
        while not self.answer.complete:
            if not self.answer.body:
                await self._wait(deadline)
            pieces.append(self._take())
            length += len(pieces[-1])
            if length > limit_bytes:
                self.close()
                raise UpstreamGarbage("The answer of the model's API is too long.")
        return b"".join([*pieces, self._take()])

    def close(self) -> None:
        """Break off at once, unless the answer is whole."""
        self._connection.abandon(self)

    def linger(self) -> None:
        """Give the end of an answer that says nothing more a moment to come, so that the connection can be kept."""
        self.lingers = True
        self._connection.watch_over(self, self._connection.loop.time() + LINGER_SECONDS)

    def wake(self) -> None:
        """Let the waiting task look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def fail(self, problem: UpstreamProblem) -> None:
        """End it; what has come of the answer can still be read."""
        self._problem = problem
        self.answer.release()
        self.wake()

    def _take(self) -> bytes:
        body = self.answer.take()
        self._connection.resume_reading(self)
        return body

    async def _wait(self, deadline: float) -> None:
        if self._problem is not None:
            raise self._problem
        self._connection.watch_over(self, deadline)
        self._waiter = self._connection.loop.create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._waiter = None


class Connection(asyncio.BufferedProtocol):
    """One connection; `_trip` is None while nobody uses it.

    It reads into a buffer that all connections of its wire share, since what was read is copied before anybody else reads: the event
    loop's own buffer would let as much as 256 KiB come at once.
    """

    __slots__ = ("_buffer", "_deadline", "_paused", "_rest", "_transport", "_trip", "_unwritable", "_wire", "loop")

    def __init__(self, wire: "Wire", loop: asyncio.AbstractEventLoop, *, buffer: memoryview) -> None:
        self.loop = loop
        self._wire = wire
        self._buffer = buffer
        self._trip: RoundTrip | None = None
        self._deadline = Deadline(self._expire)
        self._paused = False
        self._unwritable = False
        self._rest = memoryview(b"")

    def start(self, trip: RoundTrip, head: bytes, body: bytes) -> None:
        """Send a request, a large one in pieces as fast as they go out."""
        self._trip = trip
        if self._transport.is_closing():
            self.abort(_broken(None, begun=False))
        elif len(body) <= PIECE_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._rest = memoryview(body)
            self._write_on()

    def watch_over(self, trip: RoundTrip, due: float) -> None:
        """Have `trip`, if it is still on, ended at `due` instead of at any earlier time."""
        if self._trip is trip:
            self._deadline.set(due)

    def resume_reading(self, trip: RoundTrip) -> None:
        """Go on reading, now that `trip` holds nothing more."""
        if self._paused and self._trip is trip:
            self._paused = False
            self._transport.resume_reading()

    def abandon(self, trip: RoundTrip) -> None:
        """Close the connection at once if `trip` is still on."""
        if self._trip is trip:
            self.abort(UpstreamUnreachable("The call of the model's API was broken off."))

    def keep(self, seconds: float) -> None:
        """Close the connection if it is not used for so long."""
        self._deadline.set(self.loop.time() + seconds)

    def abort(self, problem: UpstreamProblem) -> None:
        """Close the connection at once; `problem` is what the round trip on it, if there is one, comes to."""
        trip, self._trip = self._trip, None
        self._rest = memoryview(b"")
        self._deadline.end()
        self._transport.abort()
        self._wire.forget(self)
        if trip is not None:
            trip.fail(problem)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Lend the room for the next read."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take in a piece of the answer."""
        trip = self._trip
        if trip is None:
            self.abort(UpstreamGarbage("The model's API answers before it is asked."))
            return
        try:
            trip.answer.feed(self._buffer[:nbytes])
        except UpstreamGarbage as problem:
            self.abort(problem)
            return
        if trip.answer.complete:
            self._settle(trip)
        elif len(trip.answer.body) >= MAX_HELD_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        trip.wake()

    def connection_lost(self, error: Exception | None) -> None:
        """End what is on: the other side has left, or we have."""
        trip = self._trip
        if trip is not None and error is None:
            trip.answer.end()
        self.abort(_broken(error, begun=trip is not None and trip.answer.begun))

    def pause_writing(self) -> None:
        """Hold the rest of a request back."""
        self._unwritable = True

    def resume_writing(self) -> None:
        """Send more of it."""
        self._unwritable = False
        self._write_on()

    def _write_on(self) -> None:
        while self._rest and not self._unwritable:
            self._transport.write(self._rest[:PIECE_BYTES])
            self._rest = self._rest[PIECE_BYTES:]

    def _settle(self, trip: RoundTrip) -> None:
        """Free the connection, if both sides are done."""
        if not trip.answer.reusable or self._rest:
            self.abort(UpstreamUnreachable("The connection serves no second request."))
            return
        self._trip = None
        self._wire.keep(self)

    def _expire(self) -> None:
        trip = self._trip
        if trip is None or trip.awaited or trip.lingers:  # else the reader, not the other side, takes its time
            self.abort(UpstreamTimeout("The model's API did not answer in time."))


def _broken(error: Exception | None, *, begun: bool) -> UpstreamProblem:
    if error is None and begun:
        return UpstreamGarbage("The model's answer ended before its end.", error_type="truncated")
    problem = UpstreamUnreachable("The connection to the model's API broke.")
    problem.__cause__ = error
    return problem
