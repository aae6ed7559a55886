"""How much the tests do that break things: as much as CI has time for, or all of it when SOAK is set; and the SEED of what they draw."""

import os
import random
from typing import Final, TypeVar

SOAK: Final = bool(os.environ.get("SOAK"))
_RUN: Final = os.environ.get("PYTEST_XDIST_TESTRUNUID")  # processes that share a run's tests must draw the same ones
SEED: Final = int(os.environ.get("SEED") or (0 if "CI" in os.environ else random.Random(_RUN).randrange(1 << 32)))
Number = TypeVar("Number", int, float)


def size(*, quick: Number, full: Number) -> Number:
    """Return how much of something a test does."""
    return full if SOAK else quick
