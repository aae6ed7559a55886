"""Traffic of many pods as one: histograms are added, and percentiles read from the sum. Percentiles themselves are never averaged. Pure."""

import math
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from typing import Final

MAX_COUNT: Final = 2**53
"""The largest integer that every JSON parser reads as it is."""
_DIGITS: Final = 3


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many samples there are up to each bound and above the one before, and last how many exceed them all; empty without samples."""

    bounds: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def samples(self) -> int:
        """Return how many samples there are."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was seen within one window of time, by one pod or by many."""

    requests: int = 0
    errors: int = 0
    latency: Histogram = Histogram()
    first_token: Histogram = Histogram()

    @property
    def error_rate_basis_points(self) -> int:
        """Return the share of requests that ended in an error, in hundredths of a percent; rounded up, so it compares as it is."""
        return -(-10_000 * min(self.errors, self.requests) // max(1, self.requests))

    @property
    def availability_basis_points(self) -> int:
        """Return the share of requests that were answered, in hundredths of a percent."""
        return 10_000 - self.error_rate_basis_points


def add(traffics: Iterable[Traffic]) -> Traffic:
    """Return the traffic of all."""
    parts = tuple(traffics)
    return Traffic(
        requests=sum(part.requests for part in parts),
        errors=sum(part.errors for part in parts),
        latency=add_histograms(part.latency for part in parts),
        first_token=add_histograms(part.first_token for part in parts),
    )


def add_histograms(histograms: Iterable[Histogram]) -> Histogram:
    """Return the histogram of all samples; with different bounds each sample keeps the upper bound that it had."""
    by_bounds: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for histogram in histograms:
        if any(histogram.counts):
            by_bounds.setdefault(histogram.bounds, []).append(histogram.counts)
    sums = [Histogram(_shared(bounds), tuple(map(sum, zip(*counts, strict=True)))) for bounds, counts in by_bounds.items()]
    return _united(sums) if len(sums) > 1 else next(iter(sums), Histogram())


def _united(histograms: list[Histogram]) -> Histogram:
    bounds = tuple(sorted({bound for histogram in histograms for bound in histogram.bounds}))
    counts = [0] * (len(bounds) + 1)
    for histogram in histograms:
        for bound, count in zip((*histogram.bounds, math.inf), histogram.counts, strict=True):
            counts[bisect_left(bounds, bound)] += count
    return Histogram(bounds, tuple(counts))


@lru_cache(maxsize=16)
def _shared(bounds: tuple[int, ...]) -> tuple[int, ...]:
    """Return one tuple for all that are equal: every pod of every resource has the same bounds."""
    return bounds


def percentile(histogram: Histogram, rank: int) -> int | None:
    """Return below which value `rank` of 100 samples lie, rounded up, or None without samples.

    Within a bucket the samples count as spread evenly, as in PromQL's histogram_quantile. What exceeds every bound counts as 1 above them.
    """
    below = (0, *accumulate(histogram.counts))
    if not below[-1]:
        return None
    hundredfold = [count * 100 for count in below[1:]]
    bucket = bisect_left(hundredfold, below[-1] * rank)
    lower = histogram.bounds[bucket - 1] if bucket else 0
    if bucket == len(histogram.bounds):
        return lower + 1
    width, into = histogram.bounds[bucket] - lower, below[-1] * rank - below[bucket] * 100
    return lower + math.ceil(Fraction(width * into, histogram.counts[bucket] * 100))


def percent(basis_points: int) -> str:
    """Return a share in percent, with two decimals."""
    return f"{basis_points // 100}.{basis_points % 100:02}"


def rounded_up(value: int) -> int:
    """Return `value` with three significant digits, never less than it was."""
    step = _step(value)
    return -(-value // step) * step


def rounded_down(value: int) -> int:
    """Return `value` with three significant digits, never more than it was and at most `MAX_COUNT`."""
    bounded = min(value, MAX_COUNT)
    return bounded // _step(bounded) * _step(bounded)


def _step(value: int) -> int:
    return int(10 ** max(0, len(str(value)) - _DIGITS))
