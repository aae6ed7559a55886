"""Standard output for log lines: a write takes a line or keeps it, and never waits, raises or ends the process.

Who reads the lines may be slow, stuck or gone. What is not taken at once waits in memory, up to a limit; beyond it lines are dropped and
counted, because a service that answers without a log is worth more than one that hangs with it.
"""

import os
import select
import threading
import time
from collections import deque

MAX_WAITING_BYTES = 1024 * 1024
KEPT_BYTES = 32 * 1024
"""What may wait for more: half of what a pipe takes, and far from what is dropped."""
CHUNK_BYTES = select.PIPE_BUF
"""A pipe that is writable takes as many bytes at once; a longer write might wait."""


class Output:
    """A file descriptor, and the lines that it has not taken yet."""

    def __init__(self, descriptor: int, *, max_waiting_bytes: int = MAX_WAITING_BYTES) -> None:
        self._descriptor = descriptor
        self._max_waiting_bytes = max_waiting_bytes
        self._poll = _poll_of(descriptor)
        self._writing = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._torn = False
        self.dropped = 0

    @classmethod
    def standard(cls) -> "Output":
        """Return standard output, or nowhere when it is closed: its number may by now be that of a client's connection."""
        try:
            return cls(os.dup(1))
        except OSError:
            return cls(os.open(os.devnull, os.O_WRONLY))

    def write(self, line: bytes) -> None:
        """Take one line, without its end."""
        self._take(line)
        self.flush()

    # structlog calls its logger by the names of the levels.
    debug = info = warning = error = critical = write

    def keep(self, line: bytes) -> None:
        """Take one line that may wait for others until the next flush, because a write costs as much as all the rest."""
        self._take(line)
        if self._waiting_bytes >= KEPT_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is taken at once.

        Whoever is at it already, another thread or this one when the garbage collector logs, also writes what was added meanwhile.
        """
        if not self._writing.acquire(blocking=False):
            return
        try:
            while self._waiting and self._poll.poll(0):
                self._write_some()
            if not self._waiting:
                self._waiting_bytes = 0
        except BlockingIOError:
            pass
        except OSError:
            self._drop_all()
        finally:
            self._writing.release()

    def close(self, *, seconds: float) -> None:
        """Give the reader so many seconds to take what waits. The descriptor stays open: somebody may still log."""
        end = time.monotonic() + seconds
        poll = _poll_of(self._descriptor)  # a poll object serves one thread at a time, and another may still log
        while self._waiting and (left := end - time.monotonic()) > 0:
            poll.poll(left * 1000)
            self.flush()

    def _take(self, line: bytes) -> None:
        if self._waiting and self._waiting_bytes + len(line) > self._max_waiting_bytes:
            self.dropped += 1
        else:
            self._waiting_bytes += len(line) + 1
            self._waiting.append(line + b"\n")

    def _write_some(self) -> None:
        """Write as many lines as fit into a chunk, or the beginning of one that does not."""
        piece = self._waiting.popleft()
        while self._waiting and len(piece) + len(self._waiting[0]) <= CHUNK_BYTES:
            piece += self._waiting.popleft()
        self._waiting.appendleft(piece)
        written = os.write(self._descriptor, piece[:CHUNK_BYTES])
        self._waiting_bytes -= written
        self._torn = not piece.endswith(b"\n", 0, written)
        if written < len(piece):
            self._waiting[0] = piece[written:]
        else:
            self._waiting.popleft()

    def _drop_all(self) -> None:
        """Forget what waits; a line that is half written then ends here, not in the next one."""
        self.dropped += sum(piece.count(b"\n") - piece.startswith(b"\n") for piece in self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        if self._torn:
            self._waiting.append(b"\n")


def _poll_of(descriptor: int) -> select.poll:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return poll
