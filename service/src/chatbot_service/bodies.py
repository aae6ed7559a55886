"""Request bodies on their way in: how large one may be, how slowly it may come, and how much memory all of them may take together.

A body that is there at once, as small ones are, costs neither a timer nor a copy.
"""

import asyncio
from collections.abc import Callable, Generator
from typing import Any

from starlette.types import Message, Receive

from chatbot_service.errors import BodyTooLarge, BodyTooSlow, Busy, ClientLeft
from chatbot_service.exchange import Exchange

ALL_BYTES = 64 * 1024 * 1024
FIRST_BYTES = 16 * 1024
PATIENCE_SECONDS = 10.0
"""For the first bytes, and from then on without any progress."""
BYTES_PER_SECOND = 1024


class Bodies:
    """The bodies of the requests that are being served, each at most `each_bytes` long and there `within_seconds`, however large.

    `on_refused` is told, in a word, when a request is refused because the others' bodies take all the memory.
    """

    def __init__(self, each_bytes: int, *, within_seconds: float, on_refused: Callable[[str], None], all_bytes: int = ALL_BYTES) -> None:
        self.held_bytes = 0
        self._each_bytes = each_bytes
        self._within_seconds = within_seconds
        self._all_bytes = max(all_bytes, each_bytes)
        self._on_refused = on_refused

    async def read(self, exchange: Exchange, receive: Receive) -> bytes | bytearray:
        """Return the whole body, which is held until `release`. Raises BodyTooLarge, BodyTooSlow, Busy and ClientLeft."""
        announced = exchange.headers.get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self._each_bytes:
            raise self._too_large()
        first = _Begun(receive)
        if first.message is not None and not first.message.get("more_body", False):
            return self._take(first.message, exchange)
        return await self._read_patiently(first, exchange, receive)

    def release(self, exchange: Exchange) -> None:
        """Forget the body of `exchange`, as far as it has been read."""
        self.held_bytes -= exchange.body_bytes
        exchange.body_bytes = 0

    async def _read_patiently(self, first: "_Begun", exchange: Exchange, receive: Receive) -> bytearray:
        loop = asyncio.get_running_loop()
        began = loop.time()
        body = bytearray()
        try:
            async with asyncio.timeout_at(began + self._allowed_seconds(0)) as patience:
                message = await first
                while True:
                    body += self._take(message, exchange)
                    if not message.get("more_body", False):
                        return body
                    patience.reschedule(min(began + self._allowed_seconds(len(body)), loop.time() + PATIENCE_SECONDS))
                    message = await receive()
        except TimeoutError:
            raise BodyTooSlow("The body came in too slowly.") from None

    def _allowed_seconds(self, size: int) -> float:
        """Return the time that a body may have taken for its first `size` bytes."""
        return min(PATIENCE_SECONDS + max(0, size - FIRST_BYTES) / BYTES_PER_SECOND, self._within_seconds)

    def _take(self, message: Message, exchange: Exchange) -> bytes:
        if message["type"] == "http.disconnect":
            raise ClientLeft
        piece: bytes = message.get("body", b"")
        exchange.body_bytes += len(piece)
        self.held_bytes += len(piece)
        if exchange.body_bytes > self._each_bytes:
            raise self._too_large()
        if self.held_bytes > self._all_bytes:
            self._on_refused("body_memory")
            raise Busy("The requests that this pod serves take all the memory that it has for them.")
        return piece

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"The body exceeds {self._each_bytes} bytes.")


class _Begun:
    """The first message: asked for, but not waited for. `message` is None as long as it is not there."""

    __slots__ = ("_steps", "_waits_for", "message")

    def __init__(self, receive: Receive) -> None:
        self._steps = receive().__await__()
        self.message: Message | None = None
        try:
            self._waits_for: object = next(self._steps)
        except StopIteration as end:
            self.message = end.value

    def __await__(self) -> Generator[Any, Any, Message]:
        """Wait for it: first for what its first step waits for, then as for anything else."""
        if self.message is not None:
            return self.message
        try:
            yield self._waits_for
        except BaseException:
            self._steps.close()
            raise
        return (yield from self._steps)
