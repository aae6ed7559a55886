"""What the service did within the last five minutes and the last hour, as counts and histograms. Pure: the clock is injected.

A window is a ring of slots, each good for a fixed span of time: recording and reading cost the same whatever the traffic.
"""

from bisect import bisect_left
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


def _no_counts() -> list[int]:
    return [0] * (len(BOUNDS_MS) + 1)


@dataclass
class _Slot:
    number: int = -1
    requests: int = 0
    errors: int = 0
    latency: list[int] = field(default_factory=_no_counts)
    first_token: list[int] = field(default_factory=_no_counts)


class Window:
    """Counts of the last `seconds`, exact to a sixtieth of it."""

    def __init__(self, seconds: float) -> None:
        self._slot_seconds = seconds / _SLOTS
        self._slots = [_Slot() for _ in range(_SLOTS)]

    def record(self, now: float, *, error: bool, latency_seconds: float | None, first_token_seconds: float | None) -> None:
        """Count one request that ended at `now`."""
        number = int(now / self._slot_seconds)
        slot = self._slots[number % _SLOTS]
        if slot.number != number:
            slot = self._slots[number % _SLOTS] = _Slot(number)
        slot.requests += 1
        slot.errors += error
        if latency_seconds is not None:
            slot.latency[bisect_left(BOUNDS_MS, latency_seconds * 1000)] += 1
        if first_token_seconds is not None:
            slot.first_token[bisect_left(BOUNDS_MS, first_token_seconds * 1000)] += 1

    def summary(self, now: float) -> dict[str, Any]:
        """Return the window as the report has it; the last count of a histogram is of what exceeds every bound."""
        oldest = int(now / self._slot_seconds) - _SLOTS
        slots = [slot for slot in self._slots if slot.number > oldest]
        return {
            "requests": sum(slot.requests for slot in slots),
            "errors": sum(slot.errors for slot in slots),
            "latencyMs": _histogram([slot.latency for slot in slots]),
            "firstTokenMs": _histogram([slot.first_token for slot in slots]),
        }


class Traffic:
    """Every window, and the tokens used since the start."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._windows = {name: Window(seconds) for name, seconds in WINDOWS_SECONDS.items()}
        self.input_tokens = 0
        self.output_tokens = 0

    def record(self, *, error: bool, latency_seconds: float | None = None, first_token_seconds: float | None = None) -> None:
        """Count a chat request that ended now; an error is an own 5xx or a stream's `error` event."""
        now = self._clock()
        for window in self._windows.values():
            window.record(now, error=error, latency_seconds=latency_seconds, first_token_seconds=first_token_seconds)

    def summary(self) -> dict[str, Any]:
        """Return the windows by name, as the report has them."""
        now = self._clock()
        return {name: window.summary(now) for name, window in self._windows.items()}


def _histogram(counts: list[list[int]]) -> dict[str, Any]:
    return {"bounds": BOUNDS_MS, "counts": [sum(column) for column in zip(*counts, strict=True)] or _no_counts()}
