"""Prometheus' text form of what is counted and of what merely is, made at a scrape on a registry of its own.

Only this module and `gauges` use the client library. It is imported at the first scrape, in a thread: its import is a twentieth of
the CPU time until the service is live.
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Self

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from chatbot_service.counters import Counter
from chatbot_service.gauges import Gauges
from chatbot_service.histograms import Histogram
from chatbot_service.metrics import Metrics
from chatbot_service.runtime import Runtime


class Exposition:
    """What a scrape shows: the process, what `metrics` has counted, and what `others` read at that moment."""

    def __init__(self, metrics: Metrics, *others: Collector) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        for collector in (Counted(metrics.histograms, metrics.counters), *others):
            self.registry.register(collector)

    @classmethod
    def of(cls, runtime: Runtime) -> Self:
        """Return everything there is to show of one process."""
        return cls(runtime.metrics, Gauges(runtime))

    def render(self) -> bytes:
        """Return every metric in Prometheus' text form."""
        return generate_latest(self.registry)


class Counted(Collector):
    """Histograms and counters as they are at a scrape."""

    def __init__(self, histograms: Iterable[Histogram], counters: Iterable[Counter] = ()) -> None:
        self._histograms = histograms
        self._counters = counters

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what there is does not depend on the moment, and registering needs no reading."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return all that was counted."""
        yield from map(_histogram, self._histograms)
        yield from map(_counter, self._counters)


def _histogram(histogram: Histogram) -> Metric:
    family = HistogramMetricFamily(histogram.name, histogram.text, labels=histogram.labels)
    bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
    for values, series in histogram.by_labels.items():
        buckets = list(zip(bounds, accumulate(series.counts), strict=True))
        shown = buckets[-1:] if series.announced and not any(series.counts) else buckets
        family.add_metric([str(value) for value in values], shown, series.total)
    return family


def _counter(counter: Counter) -> Metric:
    family = CounterMetricFamily(counter.name, counter.text, labels=counter.labels)
    for values, number in counter.numbers.items():
        family.add_metric(values, number)
    return family
