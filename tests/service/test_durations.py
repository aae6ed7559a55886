import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_service.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("30s", 30), ("1m30s", 90), ("1h30m", 5400), ("0s", 0), ("999999h", 3_599_996_400)]
)
def test_a_duration_is_read_as_go_writes_it(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "-1s", "+1s", "1d", "1.5s", "s", "1s ", "1s2s3s4s", "1000000s", "٣s", "1ns", "1h\n"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.00035, "350µs"),
        (0.001, "1ms"),
        (0.0015, "1.5ms"),
        (0.15, "150ms"),
        (2.5, "2.5s"),
        (60, "1m0s"),
        (8130, "2h15m30s"),
        (3600, "1h0m0s"),
        (59.9999, "1m0s"),
        (0.9999999, "1s"),
    ],
)
def test_a_duration_is_printed_as_go_prints_it(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(min_value=0, max_value=10**9))
def test_whole_seconds_survive_printing_and_reading(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds
