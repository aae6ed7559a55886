"""Traffic of many pods as one: histograms are added, and percentiles read from the sum. Percentiles themselves are never averaged. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from typing import Final

MAX_COUNT: Final = 2**53
"""The largest integer that every JSON parser reads as it is."""
_DIGITS: Final = 3
_CENT: Final = Decimal("0.01")

Buckets = Mapping[float, int]
"""How many samples there are by upper bound; what exceeds every bound is at infinity."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was seen within one window of time, by one pod or by many."""

    requests: int = 0
    errors: int = 0
    latency: Buckets = field(default_factory=dict)
    first_token: Buckets = field(default_factory=dict)

    @property
    def error_rate_percent(self) -> Decimal:
        """Return the share of requests that ended in an error, rounded up: to two decimals it compares as the exact one does."""
        return (Decimal(100) * min(self.errors, self.requests) / max(1, self.requests)).quantize(_CENT, rounding=ROUND_CEILING)

    @property
    def availability_percent(self) -> Decimal:
        """Return the share of requests that were answered."""
        return 100 - self.error_rate_percent


def add(traffics: Iterable[Traffic]) -> Traffic:
    """Return the traffic of all; histograms with different bounds add up, too, since each sample keeps its upper bound."""
    parts = tuple(traffics)
    return Traffic(
        requests=sum(part.requests for part in parts),
        errors=sum(part.errors for part in parts),
        latency=_sum(part.latency for part in parts),
        first_token=_sum(part.first_token for part in parts),
    )


def buckets(bounds: Sequence[int], counts: Sequence[int]) -> Buckets:
    """Return a histogram by upper bound; `counts` has one more than `bounds`, for what exceeds them all. What says nothing is left out."""
    following = (*counts[1:], 0)
    return {bound: count for bound, count, above in zip((*bounds, math.inf), counts, following, strict=False) if count or above}


def percentile(histogram: Buckets, percent: int) -> int | None:
    """Return below which value `percent` of 100 samples lie, rounded up, or None without samples.

    Within a bucket the samples count as spread evenly, as in PromQL's histogram_quantile. What exceeds every bound counts as 1 above them.
    """
    rank = Decimal(sum(histogram.values())) * percent / 100
    below, lower = 0, 0
    for bound, count in sorted(histogram.items()):
        if count and below + count >= rank:
            return lower + 1 if math.isinf(bound) else math.ceil(lower + (Decimal(bound) - lower) * (rank - below) / count)
        below, lower = below + count, 0 if math.isinf(bound) else int(bound)
    return None


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


def _sum(histograms: Iterable[Buckets]) -> Buckets:
    total: Counter[float] = Counter()
    for histogram in histograms:
        total.update(histogram)
    return dict(total)
