"""Durations as Go writes them: read by the pattern that the resource's schema shares, printed like Go's `Duration.String`."""

import re

import durationpy

DURATION_PATTERN = r"^([0-9]{1,6}(ms|s|m|h)){1,3}$"
_FORM = re.compile(DURATION_PATTERN, re.ASCII)


def parse_duration(text: str) -> float:
    """Return `text`, such as 250ms, 30s or 1h30m, in seconds; raises ValueError for anything else, negative ones included."""
    if not _FORM.fullmatch(text):
        raise ValueError("is not a duration such as 250ms, 30s or 1h30m")
    seconds: float = durationpy.from_str(text).total_seconds()
    return seconds


def format_duration(seconds: float) -> str:
    """Return `seconds` (zero or more) as Go prints it, to three decimals of its unit: 0s, 350µs, 1.5ms, 2.5s, 1m0s, 2h15m30s."""
    microseconds = round(seconds * 1e6)
    if microseconds <= 0:
        return "0s"
    if microseconds < 1_000:
        return f"{microseconds}µs"
    if microseconds < 1_000_000:
        return f"{_trimmed(microseconds / 1_000)}ms"
    milliseconds = round(microseconds / 1_000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    tail = f"{_trimmed(rest / 1_000)}s"
    if hours:
        return f"{hours}h{minutes}m{tail}"
    return f"{minutes}m{tail}" if minutes else tail


def _trimmed(number: float) -> str:
    return f"{number:.3f}".rstrip("0").rstrip(".")
