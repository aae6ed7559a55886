"""Histograms for one thread: counting costs a search for the bound and two additions, Prometheus' form is only made at a scrape.

The client library's own take locks and go through every bound, which costs a request more than all the rest that is counted for it.
"""

from bisect import bisect_left
from collections.abc import Sequence


class Series:
    """What was observed with one set of labels."""

    __slots__ = ("_bounds", "announced", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.announced = False
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count `value`: under the first bound that is not less than it, the last count being of what exceeds them all."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class Histogram:
    """One metric. Without labels it is shown before anything was observed."""

    def __init__(self, name: str, text: str, labels: Sequence[str], *, bounds: Sequence[float]) -> None:
        self.name = name
        self.text = text
        self.labels = labels
        self.bounds = bounds
        self.by_labels: dict[tuple[object, ...], Series] = {}
        if not labels:
            self.series()

    def series(self, *values: object) -> Series:
        """Return the series with these values of the labels, in their order."""
        found = self.by_labels.get(values)
        if found is None:
            found = self.by_labels[values] = Series(self.bounds)
        return found

    def announce(self, *values: object) -> None:
        """Show that nothing was observed with these values, so that the first time can be told from what there always was.

        Until then it is one bucket instead of all: most of what is announced never happens.
        """
        self.series(*values).announced = True
