"""The figures of a run as values: medians, ratios within one round, and how they grow with the number of resources. Pure."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto


class Figure(Enum):
    """What is measured once a round, number of resources and candidate."""

    READY_CPU_MS = auto()
    """CPU time of a new resource, from its creation until all are Ready and nothing is left to do."""
    READY_P50_SECONDS = auto()
    """From the creation of a resource until it is Ready: minReadySeconds and a bit."""
    READY_P99_SECONDS = auto()
    MEMORY_MB = auto()
    CHANGE_P50_MS = auto()
    """From the arrival of the change of a spec to the answer to the apply of the child."""
    CHANGE_P99_MS = auto()
    CHANGE_CPU_MS = auto()
    CHANGE_STATUS_WRITES = auto()
    RESTORE_P50_MS = auto()
    """From the arrival of the deletion of a child to the answer to the apply that restores it."""
    RESTORE_P99_MS = auto()
    RESTART_SECONDS = auto()
    """From the start of the process until it leads and nothing is left to do."""
    RESTART_CPU_MS = auto()
    RESTART_WRITES = auto()
    RESTART_MEMORY_MB = auto()
    IDLE_CPU_PERCENT = auto()
    IDLE_WRITES = auto()
    POLL_CPU_PERCENT = auto()
    """Of a core, for the reports of 1 000 pods every 10 s, without what an idle operator takes."""


class Verb(Enum):
    """What a request to the API server is for."""

    APPLY = "apply"
    STATUS = "status"
    EVENT = "event"
    READ = "read"
    DELETE = "delete"
    OTHER = "other"


@dataclass(frozen=True)
class Measured:
    """One candidate with some resources in one round. A figure that could not be had is missing, and a note says why."""

    figures: Mapping[Figure, float]
    requests: Mapping[Verb, float] = field(default_factory=dict)
    """For each new resource."""
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Round:
    """Every candidate (by name) with so many resources."""

    resources: int
    measured: Mapping[str, Measured]


@dataclass(frozen=True)
class Run:
    """All rounds of one run."""

    rounds: Sequence[Round] = field(default_factory=list)

    def sizes(self) -> list[int]:
        """Return the numbers of resources, the smallest first."""
        return sorted({each.resources for each in self.rounds})

    def candidates(self) -> list[str]:
        """Return everybody who was measured at all, in the order of the first mention."""
        return list(dict.fromkeys(name for each in self.rounds for name in each.measured))

    def median(self, candidate: str, resources: int, figure: Figure) -> float | None:
        """Return the median over the rounds with so many resources."""
        return _median([measured.figures.get(figure) for measured in self._of(candidate, resources)])

    def ratio(self, candidate: str, to: str, resources: int, figure: Figure) -> float | None:
        """Return the median of the ratios within each round, which the machine's mood does not change."""
        both = [each.measured for each in self.rounds if each.resources == resources and {candidate, to} <= each.measured.keys()]
        pairs = [(measured[candidate].figures.get(figure), measured[to].figures.get(figure)) for measured in both]
        return _median([mine / theirs for mine, theirs in pairs if mine is not None and theirs])

    def requests(self, candidate: str, resources: int, verb: Verb | None = None) -> float | None:
        """Return the median number of requests for each new resource, of one verb or of all."""
        counted = [measured.requests for measured in self._of(candidate, resources) if measured.requests]
        return _median([sum(found.values()) if verb is None else found.get(verb, 0.0) for found in counted])

    def exponent(self, candidate: str, figure: Figure) -> float | None:
        """Return the power of the number of resources with which the total of a figure that is for each resource grows: 1 is linear."""
        sizes = self.sizes()
        few, many = (self.median(candidate, size, figure) for size in (sizes[0], sizes[-1])) if len(sizes) > 1 else (None, None)
        return 1 + math.log(many / few) / math.log(sizes[-1] / sizes[0]) if few and many else None

    def notes(self, candidate: str) -> list[str]:
        """Return what was noted in any round, once each."""
        every = [f"{each.resources} resources: {note}" for each in self.rounds for note in _notes(each, candidate)]
        return list(dict.fromkeys(every))

    def _of(self, candidate: str, resources: int) -> list[Measured]:
        return [each.measured[candidate] for each in self.rounds if each.resources == resources and candidate in each.measured]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of them do not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def _notes(each: Round, candidate: str) -> Sequence[str]:
    return each.measured[candidate].notes if candidate in each.measured else ()


def _median(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return statistics.median(there) if there else None
