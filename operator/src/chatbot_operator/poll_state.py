"""What is known of the pods of one resource from poll to poll: their last words, and what these add up to. No clock, no I/O.

A pod that does not answer keeps its last word for two polls more, then it has none and is asked less and less often.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from chatbot_operator import fleet
from chatbot_operator.fleet import Figures, FleetHealth
from chatbot_operator.pod_report import PodReport
from chatbot_operator.reports import Target

GIVEN_UP_MISSES: Final = 3
MAX_SILENCE_ROUNDS: Final = 8
"""Rounds at most between two questions to a pod that does not answer."""


@dataclass(slots=True)
class Word:
    """What a pod said last, and how often it has not answered since."""

    body: bytes = b""
    report: PodReport | None = None
    misses: int = 0
    ask_at: float = 0.0

    @property
    def is_final(self) -> bool:
        """Whether the pod was heard, or is not waited for any more."""
        return bool(self.body) or self.misses >= GIVEN_UP_MISSES

    @property
    def is_due_soon(self) -> bool:
        """Whether the pod did not answer and is to be asked again before the next round."""
        return 0 < self.misses < GIVEN_UP_MISSES

    def heard(self, body: bytes, report: PodReport | None) -> None:
        """Take down an answer; `report` is None where it is the same as before."""
        self.body, self.report, self.misses = body, report, 0

    def missed(self, now: float, *, interval_seconds: float) -> None:
        """Take down that there was no answer."""
        self.misses += 1
        if self.misses >= GIVEN_UP_MISSES:
            self.body, self.report = b"", None
            rounds = min(MAX_SILENCE_ROUNDS, 2 ** (self.misses - GIVEN_UP_MISSES))
            self.ask_at = now + (rounds - 0.5) * interval_seconds


@dataclass(slots=True)
class PolledPods:
    """The pods of one resource, and when they are asked again."""

    uid: str
    """The resource's: one that takes the name of another has nothing to do with what was said before."""
    words: dict[Target, Word] = field(default_factory=dict)
    health: FleetHealth | None = None
    told: Figures | None = None
    told_at: float = 0.0
    has_changed: bool = False
    """Whether the EndpointSlices have, since they were read."""
    questions: int = 0
    """How many are not answered yet."""
    due: float = math.inf
    awaited_until: float = 0.0
    were_there: bool = False
    """Whether all are awaited, since they were there at the start, and not just the end of the first poll."""

    def stop_waiting(self) -> None:
        """Go by what was heard from now on."""
        self.awaited_until, self.were_there = 0.0, False

    def take_targets(self, targets: Iterable[Target]) -> None:
        """Take over the pods that the EndpointSlices show; a change is a reason to ask those at once that did not answer."""
        self.has_changed = False
        self.words = {target: self.words.get(target) or Word() for target in targets}
        for word in self.words.values():
            word.ask_at = 0.0
        if not self.words:
            self.stop_waiting()

    def merge(self) -> FleetHealth:
        """Return the health of all by what they said; where they said the same as before, as it was."""
        words = self.words.values()
        if not self.were_there or all(word.is_final for word in words):
            self.stop_waiting()
        if self.health is None or self.health.expected != len(words) or any(word.report or not word.body for word in words):
            reports = [word.report or PodReport.parse(word.body) for word in words if word.body]
            self.health = fleet.merge(reports, expected=len(words), before=self.health)
            for word in words:
                word.report = None  # three times the memory of what it was read from
        return self.health
