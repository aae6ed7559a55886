"""Whether a client takes in what is sent to it. A connection has a watch only while, and because, it does not keep up."""

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable

LOOKS = 10
"""In the time that a client has; so it may take a tenth longer."""


class ReaderWatch:
    """Calls `stalled` once the client has taken in nothing for `seconds`, the kernel's buffers included."""

    def __init__(self, transport: asyncio.Transport, seconds: float, *, stalled: Callable[[], None]) -> None:
        self._transport = transport
        self._seconds = seconds
        self._stalled = stalled
        self._loop = asyncio.get_running_loop()
        self._least_bytes = self.unread_bytes()
        self._looks = 0
        self._wait()

    def unread_bytes(self) -> int:
        """Return how much waits for the client here and in the kernel, where its own side has not confirmed it."""
        answer = fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        return self._transport.get_write_buffer_size() + int(struct.unpack("i", answer)[0])

    def look(self) -> None:
        """Judge the client by what has become less since the last look."""
        unread_bytes = self.unread_bytes()
        self._looks = 0 if unread_bytes < self._least_bytes else self._looks + 1
        self._least_bytes = unread_bytes
        if self._looks < LOOKS:
            self._wait()
        else:
            self._stalled()

    def end(self) -> None:
        """Watch no more."""
        self._timer.cancel()

    def _wait(self) -> None:
        self._timer = self._loop.call_later(self._seconds / LOOKS, self.look)
