"""Bounds in seconds on a machine that others use too: what the kernel counts as waiting for a CPU is not held against anybody."""

import re
import time
from pathlib import Path

PRESSURE = Path("/proc/pressure/cpu")
MOST_SECONDS = 60.0
"""After which nothing is forgiven any more."""


def starved_seconds() -> float:
    """Return for how long, in all, some process was ready to run and had no CPU; 0 where the kernel does not count that."""
    found = re.search(r"^some .*total=(\d+)$", PRESSURE.read_text(), re.MULTILINE) if PRESSURE.exists() else None
    return int(found[1]) / 1e6 if found else 0.0


class Stopwatch:
    """Counts from when it is made."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._starved = starved_seconds()

    def exceeds(self, seconds: float) -> bool:
        """Tell whether more than `seconds` have passed in which whoever wanted a CPU had one, or far more in all."""
        passed = time.monotonic() - self._began
        return passed > MOST_SECONDS or passed - (starved_seconds() - self._starved) > seconds
