"""Waiting for what comes about by itself: no longer than it takes, and never without end."""

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

Value = TypeVar("Value")


def wait_until(
    observe: Callable[[], Value],
    accept: Callable[[Value], object] = bool,
    *,
    seconds: float = 20,
    what: str = "it",
    poll_seconds: float = 0.02,
) -> Value:
    """Return what `observe` sees as soon as `accept` likes it; fail with `what`, and the last sight, after `seconds`."""
    end = time.monotonic() + seconds
    while not accept(seen := observe()):
        if time.monotonic() > end:
            pytest.fail(f"{what}: not within {seconds:g} s, last seen: {seen}")
        time.sleep(poll_seconds)
    return seen
