"""What the service did within the last five minutes and the last hour, as counts and histograms. Pure: the clock is injected.

A window is a row of slots, each good for a fixed span of time: recording and reading cost the same whatever the traffic.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

BOUNDS_MS = (
    10, 25, 50, 75, 100, 150, 200, 300, 400, 500, 750, 1_000, 1_500, 2_000, 2_500, 3_000, 4_000, 5_000, 7_500,
    10_000, 15_000, 20_000, 30_000, 60_000,
)  # fmt: skip
"""Upper bounds, closest together around the default objective of 3 s; the same in every pod, so that histograms can be added."""

WINDOWS_SECONDS = {"5m": 300, "1h": 3_600}
_SLOTS = 60
_SLOT_SECONDS = min(WINDOWS_SECONDS.values()) / _SLOTS
"""Of which every window's slots are multiples."""


def _no_counts() -> list[int]:
    return [0] * (len(BOUNDS_MS) + 1)


@dataclass
class _Slot:
    requests: int = 0
    errors: int = 0
    latency: list[int] = field(default_factory=_no_counts)
    first_token: list[int] = field(default_factory=_no_counts)

    def add(self, other: "_Slot") -> None:
        self.requests += other.requests
        self.errors += other.errors
        self.latency = [sum(pair) for pair in zip(self.latency, other.latency, strict=True)]
        self.first_token = [sum(pair) for pair in zip(self.first_token, other.first_token, strict=True)]


class Window:
    """Counts of the last `seconds`, exact to a sixtieth of it."""

    def __init__(self, seconds: float) -> None:
        self._slot_seconds = seconds / _SLOTS
        self._slots: deque[tuple[int, _Slot]] = deque(maxlen=_SLOTS)

    def add(self, counts: _Slot, *, at: float) -> None:
        """Count what was counted from `at` on, which is in one slot and never before the last one."""
        number = int(at / self._slot_seconds)
        if not self._slots or self._slots[-1][0] != number:
            self._slots.append((number, _Slot()))
        self._slots[-1][1].add(counts)

    def summary(self, now: float) -> dict[str, Any]:
        """Return the window as the report has it; the last count of a histogram is of what exceeds every bound."""
        oldest = int(now / self._slot_seconds) - _SLOTS
        slots = [slot for number, slot in self._slots if number > oldest]
        return {
            "requests": sum(slot.requests for slot in slots),
            "errors": sum(slot.errors for slot in slots),
            "latencyMs": _histogram([slot.latency for slot in slots]),
            "firstTokenMs": _histogram([slot.first_token for slot in slots]),
        }


class Traffic:
    """Every window, and the tokens used since the start.

    Requests are counted once, in a slot of the shortest window; when that is over it is added to each.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._windows = {name: Window(seconds) for name, seconds in WINDOWS_SECONDS.items()}
        self._slot = _Slot()
        self._slot_began = 0.0
        self._slot_ends = 0.0
        self.input_tokens = 0
        self.output_tokens = 0

    def record(self, *, error: bool, latency_seconds: float | None = None, first_token_seconds: float | None = None) -> None:
        """Count a chat request that ended now; an error is an own 5xx or a stream's `error` event."""
        now = self._clock()
        if now >= self._slot_ends:
            self._begin_slot(now)
        slot = self._slot
        slot.requests += 1
        slot.errors += error
        if latency_seconds is not None:
            slot.latency[bisect_left(BOUNDS_MS, latency_seconds * 1000)] += 1
        if first_token_seconds is not None:
            slot.first_token[bisect_left(BOUNDS_MS, first_token_seconds * 1000)] += 1

    def summary(self) -> dict[str, Any]:
        """Return the windows by name, as the report has them."""
        now = self._clock()
        self._begin_slot(now)
        return {name: window.summary(now) for name, window in self._windows.items()}

    def _begin_slot(self, now: float) -> None:
        """Add what is counted to the windows, and count anew."""
        if self._slot.requests:
            for window in self._windows.values():
                window.add(self._slot, at=self._slot_began)
            self._slot = _Slot()
        self._slot_began = now
        self._slot_ends = (int(now / _SLOT_SECONDS) + 1) * _SLOT_SECONDS


def _histogram(counts: list[list[int]]) -> dict[str, Any]:
    return {"bounds": BOUNDS_MS, "counts": [sum(column) for column in zip(*counts, strict=True)] or _no_counts()}
