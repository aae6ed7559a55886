"""One client's answer as server-sent events: what has been sent, and the pings that keep it open. Knows nothing of what it carries."""

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import Self

from starlette.types import Send

from chatbot_service.sse import encode_event

PING_SECONDS = 10.0
_PING = encode_event("ping", {})
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-accel-buffering", b"no"),  # nginx would collect the stream otherwise
]


class EventStream:
    """Begins with the first bytes that are written; pings in even steps from `began` (in the event loop's time), from its block's start on.

    For a client that does not read at most one ping waits: more would only pile up.
    """

    def __init__(self, send: Send, *, began: float, ping_seconds: float = PING_SECONDS) -> None:
        self._send = send
        self._ping_seconds = ping_seconds
        self._loop = asyncio.get_running_loop()
        self._due = began + ping_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._ping: asyncio.Task[None] | None = None
        self._writing = False
        self._head_sent = False
        self._over = False
        self.begun = False

    async def __aenter__(self) -> Self:
        self._timer = self._loop.call_at(self._due, self._send_ping)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._ping is not None:
            self._ping.cancel()

    def write(self, data: bytes, *, last: bool = False) -> Awaitable[None]:
        """Send `data`, one or more whole events; waits while the client has too much of it unread, and does nothing after the last.

        If it is cancelled meanwhile, `data` has not been sent: the server waits first, and writes then.
        """
        if self._head_sent and self._ping is None and not (last or self._over):
            return self._send({"type": "http.response.body", "body": data, "more_body": True})
        return self._write(data, last=last)

    async def _write(self, data: bytes, *, last: bool) -> None:
        if self._ping is not None:
            await asyncio.wait([self._ping])
        if self._over:
            return
        self._writing = True
        try:
            if not self._head_sent:
                await self._begin()
            await self._send({"type": "http.response.body", "body": data, "more_body": not last})
            self._over = last
        finally:
            self._writing = False

    async def _begin(self) -> None:
        self.begun = True
        await self._send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
        self._head_sent = True

    async def _write_ping(self) -> None:
        if not self._head_sent:
            await self._begin()
        await self._send({"type": "http.response.body", "body": _PING, "more_body": True})

    def _send_ping(self) -> None:
        if not (self._writing or self._over or self._ping):
            self._ping = self._loop.create_task(self._write_ping())
            self._ping.add_done_callback(self._forget_ping)
        self._due += self._ping_seconds
        while self._due <= self._loop.time():  # missed while the body took its time to come
            self._due += self._ping_seconds
        self._timer = self._loop.call_at(self._due, self._send_ping)

    def _forget_ping(self, _ping: asyncio.Task[None]) -> None:
        self._ping = None
