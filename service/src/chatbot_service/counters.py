"""Counters for one thread: counting costs an addition, Prometheus' form is only made at a scrape."""

from collections import Counter as Numbers
from collections.abc import Sequence


class Counter:
    """One metric: a number for each set of labels that has been counted."""

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self.name = name
        self.text = text
        self.labels = labels
        self.numbers: Numbers[tuple[str, ...]] = Numbers()

    def count(self, *values: str) -> None:
        """Add one to the number of these values of the labels, in their order."""
        self.numbers[values] += 1

    def announce(self, *values: str) -> None:
        """Show that these values of the labels were not counted yet, so that the first time can be told from what there always was."""
        self.numbers.setdefault(values, 0)
