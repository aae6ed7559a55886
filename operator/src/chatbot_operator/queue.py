"""Keyed, deduplicating work queue: two lanes, delayed adds, per-key backoff, injected clock.

A key is worked on by one worker at a time; what is added meanwhile is worked on once more afterwards. The urgent lane goes
first, but never starves the routine one. Everything but `get` is synchronous, so the rules can be tested without a loop.
"""

import asyncio
import heapq
import itertools
import math
import random
import time
from collections import deque
from collections.abc import Callable, Hashable
from enum import IntEnum
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

URGENT_STREAK: Final = 8
"""Urgent keys served in a row while a routine one waits."""
BEAT_SECONDS: Final = 0.5
"""What can wait is done together so often: one after the other costs twice as much, for little of it is in the processor's cache then."""


class Lane(IntEnum):
    """Which keys go first."""

    URGENT = 0
    ROUTINE = 1


def on_the_beat(at: float, beat_seconds: float) -> float:
    """Return the time of the first beat from `at` on, or `at` without beats."""
    return math.ceil(at / beat_seconds) * beat_seconds if beat_seconds else at


class Queue(Generic[Key]):
    """Keys that wait for a worker."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        backoff_base_seconds: float = 0.2,
        backoff_cap_seconds: float = 60,
        beat_seconds: float = 0,
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._backoff_base_seconds = backoff_base_seconds
        self._backoff_cap_seconds = backoff_cap_seconds
        self._beat_seconds = beat_seconds
        self._waiting: dict[Lane, dict[Key, float]] = {Lane.URGENT: {}, Lane.ROUTINE: {}}
        self._working: dict[Key, float] = {}
        self._again: dict[Key, Lane] = {}
        self._due: dict[Key, float] = {}
        self._delayed: list[tuple[float, int, Key, Lane]] = []
        self._order = itertools.count()
        self._failures: dict[Key, int] = {}
        self._streak = 0
        self._taken_at = clock()
        self._getters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for: float | None = None
        self.adds = 0
        self.retries = 0
        self.on_started: Callable[[float], None] = lambda _waited_seconds: None
        self.on_done: Callable[[float], None] = lambda _worked_seconds: None

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, key: Key, *, lane: Lane = Lane.URGENT) -> None:
        """Make `key` wait for a worker; once, however often it is added."""
        if key in self._working:
            self._again[key] = min(lane, self._again.get(key, lane))
            return
        urgent, routine = self._waiting[Lane.URGENT], self._waiting[Lane.ROUTINE]
        if key in urgent or (key in routine and lane is Lane.ROUTINE):
            return
        self.adds += 1
        self._waiting[lane][key] = routine.pop(key, self._clock())
        self._wake_one()

    def add_after(self, key: Key, seconds: float, *, lane: Lane = Lane.URGENT) -> None:
        """Add `key` in `seconds`, or earlier when an earlier addition is already planned; what is routine waits for the next beat."""
        at = self._clock() + seconds
        if lane is Lane.ROUTINE:
            at = on_the_beat(at, self._beat_seconds)
        if self._due.get(key, float("inf")) <= at:
            return
        self._due[key] = at
        heapq.heappush(self._delayed, (at, next(self._order), key, lane))
        self._arm()

    def backoff(self, key: Key, *, at_least_seconds: float = 0) -> float:
        """Add `key` after a delay that doubles with every failure in a row; return the delay in seconds."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        ceiling = min(self._backoff_cap_seconds, self._backoff_base_seconds * float(2 ** min(failures - 1, 30)))
        delay = max(at_least_seconds, ceiling * (0.5 + self._jitter() / 2))
        self.retries += 1
        self.add_after(key, delay)
        return delay

    def forget(self, key: Key) -> None:
        """Start over with the shortest backoff for `key`."""
        self._failures.pop(key, None)

    def clear(self) -> None:
        """Forget all that waits, is planned or failed, while nobody works."""
        for lane in self._waiting.values():
            lane.clear()
        self._due.clear()
        self._delayed.clear()
        self._failures.clear()

    def works_on(self, key: Key) -> bool:
        """Tell whether a worker has taken `key` and is not done with it."""
        return key in self._working

    def pop(self) -> Key | None:
        """Take the next key, or None; whoever takes it must call `done`. What was planned for it is done with it, too."""
        self._promote()
        urgent, routine = self._waiting[Lane.URGENT], self._waiting[Lane.ROUTINE]
        if routine and (not urgent or self._streak >= URGENT_STREAK):
            lane, self._streak = routine, 0
        elif urgent:
            lane, self._streak = urgent, self._streak + 1
        else:
            return None
        key = next(iter(lane))
        self._due.pop(key, None)
        now = self._clock()
        self.on_started(now - lane.pop(key))
        self._working[key] = self._taken_at = now
        return key

    async def get(self) -> Key:
        """Wait for the next key and take it; whoever takes it must call `done`."""
        while (key := self.pop()) is None:
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            self._arm()
            try:
                await getter
            except asyncio.CancelledError:
                if getter in self._getters:
                    self._getters.remove(getter)
                elif not getter.cancelled():
                    self._wake_one()  # it was woken for a key that it will not take
                raise
        return key

    def done(self, key: Key) -> None:
        """End the work on `key`; it waits again if it was added meanwhile."""
        self.on_done(self._clock() - self._working.pop(key))
        if (lane := self._again.pop(key, None)) is not None:
            self.add(key, lane=lane)

    def work_seconds(self) -> list[float]:
        """Return how long each key in work has been worked on."""
        now = self._clock()
        return [now - since for since in self._working.values()]

    def neglected_seconds(self) -> float:
        """Return for how long keys have waited without a single one being taken."""
        waiting_since = [next(iter(lane.values())) for lane in self._waiting.values() if lane]
        return self._clock() - max(self._taken_at, min(waiting_since)) if waiting_since else 0.0

    def _promote(self) -> None:
        now = self._clock()
        while self._delayed and self._delayed[0][0] <= now:
            at, _, key, lane = heapq.heappop(self._delayed)
            if self._due.get(key) == at:
                del self._due[key]
                self.add(key, lane=lane)

    def _arm(self) -> None:
        """Set the timer to the next delayed key while somebody waits for one."""
        if not self._getters or not self._delayed or self._armed_for == self._delayed[0][0]:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = self._delayed[0][0]
        self._timer = asyncio.get_running_loop().call_later(max(0.0, self._armed_for - self._clock()), self._tick)

    def _tick(self) -> None:
        self._timer = self._armed_for = None
        self._promote()
        self._arm()

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
