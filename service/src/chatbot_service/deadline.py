"""A time by which something must have happened, and which moves all the time: with every request and every piece of a stream."""

import asyncio
import math
from collections.abc import Callable


class Deadline:
    """Calls `passed` when it is over. The event loop's timer is only touched when it would ring too late."""

    __slots__ = ("_due", "_passed", "_rings", "_timer")

    def __init__(self, passed: Callable[[], None]) -> None:
        self._passed: Callable[[], None] | None = passed
        self._due = math.inf
        self._rings = math.inf
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        """Whether there is one."""
        return self._due < math.inf

    def set(self, due: float) -> None:
        """Have it over at `due`, in the event loop's time, and not before."""
        self._due = due
        if self._timer is None or self._rings > due:
            self._set_timer()

    def advance(self, due: float) -> None:
        """Have it over at `due`, if that is earlier."""
        if due < self._due:
            self.set(due)

    def clear(self) -> None:
        """Have none; a timer that is set rings for nothing."""
        self._due = math.inf

    def end(self) -> None:
        """Have none ever again, and let go of whoever would be told."""
        self._due, self._passed = math.inf, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings = self._due  # uvloop's handle of what is due at once does not know when
        self._timer = asyncio.get_running_loop().call_at(self._due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if asyncio.get_running_loop().time() >= self._due:
            self.clear()
            if self._passed is not None:
                self._passed()
        elif self.is_set:
            self._set_timer()
