"""One connection of an attacker, down to the bytes: what it sends, what comes back, and whether it comes to an end."""

import asyncio
import contextlib
from dataclasses import dataclass, field

import httptools

from tests.soak.grammar import Attack, Ending

QUIET_SECONDS = 0.25
"""So long without an answer, and the client takes it that the server wants more; it closes its side. Nothing depends on it."""

HANG_SECONDS = 5.0
"""So long after the client has closed its side the server must have closed the connection."""


@dataclass
class Outcome:
    """What came of an attack: the status of every answer that began, and what was wrong with the connection."""

    statuses: list[int] = field(default_factory=list)
    defect: str | None = None


class Attacker(asyncio.Protocol):
    """Sends the attack piece by piece and reads until enough is answered or the connection ends."""

    def __init__(self, attack: Attack) -> None:
        loop = asyncio.get_running_loop()
        self.outcome = Outcome()
        self.done: asyncio.Future[Outcome] = loop.create_future()
        self._loop = loop
        self._attack = attack
        self._pieces = iter(attack.pieces)
        self._parser = httptools.HttpResponseParser(self)
        self._answered = 0
        self._readable = b"HEAD" not in b"".join(attack.pieces)  # an answer without the body that its head announces
        self._timer: asyncio.TimerHandle | None = None
        self._half_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send_next()

    def data_received(self, data: bytes) -> None:
        if self._readable:
            self._parse(data)
        if self._answered >= self._attack.requests:
            self._transport.close()
        elif self._timer is not None and self._attack.ending is Ending.WAIT and not self._half_closed:
            self._wait_quietly()

    def connection_lost(self, _error: Exception | None) -> None:
        self._end()

    def on_headers_complete(self) -> None:
        self.outcome.statuses.append(self._parser.get_status_code())

    def on_message_complete(self) -> None:
        self._answered += self._parser.get_status_code() >= 200

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._readable = False
            self.outcome.defect = f"unreadable answer ({error}): {data[:300]!r}"

    def _send_next(self) -> None:
        piece = next(self._pieces, None)
        if self._transport.is_closing():
            return
        if piece is not None:
            self._transport.write(piece)
            self._loop.call_soon(self._send_next)
        elif self._attack.ending is Ending.WAIT:
            self._wait_quietly()
        elif self._attack.ending is Ending.HALF_CLOSE:
            self._half_close()
        else:
            self._transport.abort()

    def _wait_quietly(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(QUIET_SECONDS, self._half_close)

    def _half_close(self) -> None:
        self._half_closed = True
        with contextlib.suppress(OSError):  # the server has just reset it
            self._transport.write_eof()
        self._timer = self._loop.call_later(HANG_SECONDS, self._hang)

    def _hang(self) -> None:
        self.outcome.defect = f"neither answered nor closed within {HANG_SECONDS} s"
        self._transport.abort()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.done.done():
            self.done.set_result(self.outcome)
