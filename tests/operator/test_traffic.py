"""Figures of many pods: exact where they can be, and never an average of percentiles."""

import math
from bisect import bisect_left
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_operator.traffic import MAX_COUNT, Histogram, Traffic, add, percent, percentile, rounded_down, rounded_up

BOUNDS = (100, 250, 1000, 5000)


def histogram_of(samples: list[int], bounds: tuple[int, ...] = BOUNDS) -> Histogram:
    counts = [0] * (len(bounds) + 1)
    for sample in samples:
        counts[bisect_left(bounds, sample)] += 1
    return Histogram(bounds, tuple(counts))


def seen(samples: list[int], bounds: tuple[int, ...] = BOUNDS) -> Traffic:
    return Traffic(requests=len(samples), latency=histogram_of(samples, bounds))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([0, 0, 0, 0, 0], None),
        ([], None),
        ([100, 0, 0, 0, 0], 95),
        ([0, 0, 100, 0, 0], 963),  # 250 + 0.95 * 750, as histogram_quantile has it
        ([90, 0, 10, 0, 0], 625),
        ([95, 0, 0, 5, 0], 100),
        ([0, 0, 0, 0, 1], 5001),
        ([1, 0, 0, 0, 0], 95),
    ],
)
def test_percentile_is_read_from_the_buckets(counts: list[int], expected: int | None) -> None:
    assert percentile(Histogram(BOUNDS, tuple(counts)), 95) == expected


def test_one_slow_pod_of_two_is_not_averaged_away() -> None:
    fast, slow = seen([50] * 900), seen([4000] * 100)

    p95 = percentile(add([fast, slow]).latency, 95)

    assert p95 == 3000  # the average of both, each for itself, would be about 2 450


@given(parts=st.lists(st.lists(st.integers(0, 9000), max_size=40), max_size=5))
def test_added_histograms_are_the_histogram_of_all_samples(parts: list[list[int]]) -> None:
    together = seen([sample for part in parts for sample in part])

    apart = add(seen(part) for part in parts)

    assert percentile(apart.latency, 95) == percentile(together.latency, 95)
    assert apart.requests == together.requests


@given(samples=st.lists(st.integers(0, 9000), min_size=1, max_size=60), rank=st.integers(1, 100))
def test_percentile_lies_in_the_bucket_of_the_exact_one(samples: list[int], rank: int) -> None:
    exact = sorted(samples)[math.ceil(len(samples) * rank / 100) - 1]

    estimate = percentile(seen(samples).latency, rank)

    assert estimate is not None
    assert bisect_left(BOUNDS, estimate) == bisect_left(BOUNDS, exact)


@given(fine=st.lists(st.integers(0, 900), max_size=40), coarse=st.lists(st.integers(0, 900), max_size=40))
def test_histograms_with_other_bounds_add_up_without_losing_a_sample(fine: list[int], coarse: list[int]) -> None:
    total = add([seen(fine), seen(coarse, (1000,))])

    assert total.latency.samples == len(fine) + len(coarse)
    assert total.latency.bounds in (BOUNDS, (1000,), ())


@given(fine=st.lists(st.integers(0, 900), max_size=40), coarse=st.lists(st.integers(0, 900), min_size=1, max_size=40))
def test_with_other_bounds_no_sample_counts_as_less_than_it_was(fine: list[int], coarse: list[int]) -> None:
    latency = add([seen(fine), seen(coarse, (1000,))]).latency

    estimate = percentile(latency, 95)

    exact = sorted([*fine, *coarse])[math.ceil((len(fine) + len(coarse)) * 0.95) - 1]
    assert estimate is not None
    assert latency.bounds[bisect_left(latency.bounds, estimate)] >= exact


@pytest.mark.parametrize(
    ("requests", "errors", "error_rate", "availability"),
    [
        (0, 0, "0.00", "100.00"),
        (400, 1, "0.25", "99.75"),
        (3, 1, "33.34", "66.66"),
        (10**9, 1, "0.01", "99.99"),
        (10, 10, "100.00", "0.00"),
        (10, 12, "100.00", "0.00"),
    ],
)
def test_shares_add_up_and_no_error_is_rounded_away(requests: int, errors: int, error_rate: str, availability: str) -> None:
    traffic = Traffic(requests=requests, errors=errors)

    assert (percent(traffic.error_rate_basis_points), percent(traffic.availability_basis_points)) == (error_rate, availability)


@given(requests=st.integers(1, 10**6), errors=st.integers(0, 10**6), promised=st.decimals(0, 100, places=2))
def test_rounded_share_compares_as_the_exact_one(requests: int, errors: int, promised: Decimal) -> None:
    exceeds = min(errors, requests) * 100 > promised * requests

    assert (Traffic(requests=requests, errors=errors).error_rate_basis_points > promised * 100) == exceeds


@pytest.mark.parametrize(
    ("value", "down", "up"),
    [
        (0, 0, 0),
        (7, 7, 7),
        (999, 999, 999),
        (1234, 1230, 1240),
        (1230, 1230, 1230),
        (123_456, 123_000, 124_000),
        (999_999, 999_000, 1_000_000),
    ],
)
def test_three_digits_are_kept(value: int, down: int, up: int) -> None:
    assert (rounded_down(value), rounded_up(value)) == (down, up)


def test_no_sum_exceeds_what_json_can_hold() -> None:
    assert rounded_down(MAX_COUNT * 1000) <= MAX_COUNT
