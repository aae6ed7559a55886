"""The figures of a run as values: medians, ratios within one round, and what is required of them. Pure."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto


class Figure(Enum):
    """What is measured once a round and candidate."""

    REQUEST_US = auto()
    """CPU time of a request that is answered whole."""
    EVENT_US = auto()
    """CPU time of a streamed piece of text, one every 20 ms."""
    BURST_EVENT_US = auto()
    """The same, 20 of them every 400 ms."""
    REQUEST_ADDED_P50_MS = auto()
    REQUEST_ADDED_P99_MS = auto()
    EVENT_ADDED_P50_MS = auto()
    EVENT_ADDED_P99_MS = auto()
    LIVE_CPU_MS = auto()
    READY_CPU_MS = auto()
    IDLE_MB = auto()
    STREAM_KIB = auto()
    """Memory of an open stream, of 1 000."""
    ALONE_US = auto()
    """CPU time of a request just before those streams were opened, and beside them."""
    BESIDE_US = auto()


@dataclass(frozen=True)
class Held:
    """An attempt to hold `asked` streams open at once."""

    asked: int
    open: int
    failed: int
    megabytes: float


@dataclass(frozen=True)
class Measured:
    """One candidate in one round. A figure that could not be had is missing, and a note says why."""

    figures: Mapping[Figure, float]
    held: Sequence[Held] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Costs:
    """What the service takes: CPU time of a request and of an event, memory at rest and of an open stream."""

    request_us: float
    event_us: float
    idle_mb: float
    stream_kib: float


@dataclass(frozen=True)
class Loaded:
    """What came of a load at fixed rates: of `asked` requests and events a second those that were `served`, beside `streams` open ones.

    It was reckoned from `costs`.

    Latencies are (p50, p99), a request's from the moment at which it was due. `lost` are requests and streams that failed or were missing.
    """

    costs: Costs
    streams: int
    lost: int
    asked: tuple[float, float]
    served: tuple[float, float]
    request_ms: tuple[float, float]
    event_ms: tuple[float, float]
    cpu_percent: float
    megabytes: float
    notes: Sequence[str] = ()

    @property
    def percent_not_served(self) -> float:
        """Return how much of the load was not there, of requests or of events, whichever is more; chance alone makes it half a percent."""
        return max(0.0, *(100 * (1 - served / asked) for asked, served in zip(self.asked, self.served, strict=True)))


Round = Mapping[str, Measured]
"""By candidate."""


@dataclass(frozen=True)
class Check:
    """A requirement: `measured` may be at most `required`, and better at most `goal`; None where there is none."""

    what: str
    measured: float | None
    required: float | None
    goal: float | None = None
    digits: int = 2

    @property
    def verdict(self) -> str:
        """Say how far it is met."""
        if self.measured is None:
            return "not measured"
        if self.goal is not None and self.measured <= self.goal:
            return "goal met"
        if self.required is None:
            return "goal missed"
        return "met" if self.measured <= self.required else "MISSED"


@dataclass(frozen=True)
class Run:
    """All rounds of one run."""

    rounds: Sequence[Round] = field(default_factory=list)
    turns: Sequence[Round] = field(default_factory=list)
    """Of those whose difference is small beside the machine's moods: they ran at the same time and were asked in turns."""

    def in_turns(self) -> "Run":
        """Return the turns alone."""
        return Run(self.turns)

    def candidates(self) -> list[str]:
        """Return everybody who was measured at all, in the order of the first mention."""
        return list(dict.fromkeys(name for measured in self.rounds for name in measured))

    def median(self, candidate: str, figure: Figure) -> float | None:
        """Return the median over the rounds."""
        return _median([round_[candidate].figures.get(figure) for round_ in self.rounds if candidate in round_])

    def ratio(self, candidate: str, to: str, figure: Figure) -> float | None:
        """Return the median of the ratios within each round, which the machine's mood does not change."""
        return _median([a / b for a, b in self._pairs(candidate, to, figure)])

    def difference(self, candidate: str, to: str, figure: Figure) -> float | None:
        """Return the median of the differences within each round."""
        return _median([a - b for a, b in self._pairs(candidate, to, figure)])

    def growth(self, candidate: str, figure: Figure, *, since: Figure) -> float | None:
        """Return the median of `figure` over `since` within each round."""
        measured = [round_[candidate].figures for round_ in self.rounds if candidate in round_]
        return _median([each[figure] / each[since] for each in measured if figure in each and since in each])

    def worst_held(self, candidate: str) -> list[Held]:
        """Return the worst of the rounds for each number of streams that was asked for."""
        every = [held for round_ in self.rounds if candidate in round_ for held in round_[candidate].held]
        return [_worst([held for held in every if held.asked == asked]) for asked in sorted({held.asked for held in every})]

    def notes(self, candidate: str) -> list[str]:
        """Return what was noted in any round, once each."""
        return list(dict.fromkeys(note for round_ in self.rounds if candidate in round_ for note in round_[candidate].notes))

    def _pairs(self, candidate: str, to: str, figure: Figure) -> list[tuple[float, float]]:
        both = [(round_[candidate].figures, round_[to].figures) for round_ in self.rounds if candidate in round_ and to in round_]
        return [(a[figure], b[figure]) for a, b in both if figure in a and figure in b]


def _median(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return statistics.median(there) if there else None


def _worst(attempts: Sequence[Held]) -> Held:
    return Held(
        asked=attempts[0].asked,
        open=min(held.open for held in attempts),
        failed=max(held.failed for held in attempts),
        megabytes=max(held.megabytes for held in attempts),
    )
