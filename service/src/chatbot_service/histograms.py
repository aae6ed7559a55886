"""Histograms for one thread: counting costs a search for the bound and two additions, Prometheus' form is only made at a scrape.

The client library's own take locks and go through every bound, which costs a request more than all the rest that is counted for it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Series:
    """What was observed with one set of labels."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count `value`: under the first bound that is not less than it, the last count being of what exceeds them all."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class Histogram(Collector):
    """One metric. Without labels it is shown before anything was observed."""

    def __init__(self, name: str, text: str, labels: Sequence[str], *, bounds: Sequence[float]) -> None:
        self._name = name
        self._text = text
        self._labels = labels
        self._bounds = bounds
        self._shown_bounds = [*map(floatToGoString, bounds), "+Inf"]
        self._series: dict[tuple[object, ...], Series] = {}
        if not labels:
            self.series()

    def series(self, *values: object) -> Series:
        """Return the series with these values of the labels, in their order."""
        found = self._series.get(values)
        if found is None:
            found = self._series[values] = Series(self._bounds)
        return found

    def describe(self) -> Iterable[Metric]:
        """Return the metric without what was observed."""
        return [HistogramMetricFamily(self._name, self._text, labels=self._labels)]

    def collect(self) -> Iterator[Metric]:
        """Return all that was observed."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for values, series in self._series.items():
            buckets = list(zip(self._shown_bounds, accumulate(series.counts), strict=True))
            family.add_metric([str(value) for value in values], buckets, series.total)
        yield family
