"""What is known of the pods of one resource from poll to poll: their last reports, and what these add up to. No clock, no I/O.

A pod that does not answer keeps its last report for two polls more, then it has none and is asked less and less often.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from chatbot_operator import fleet
from chatbot_operator.fleet import Figures, FleetHealth
from chatbot_operator.pod_report import PodReport
from chatbot_operator.reporting import FIGURES_SECONDS
from chatbot_operator.reports import Target

GIVEN_UP_MISSES: Final = 3
MAX_SILENCE_ROUNDS: Final = 8
"""Rounds at most between two questions to a pod that does not answer."""


@dataclass(slots=True)
class LastReport:
    """What a pod reported last, and how often it has not answered since."""

    body: bytes = b""
    report: PodReport | None = None
    misses: int = 0
    ask_at: float = 0.0

    @property
    def is_awaited(self) -> bool:
        """Whether the pod has not reported, and is not given up either."""
        return not self.body and self.misses < GIVEN_UP_MISSES

    @property
    def is_due_soon(self) -> bool:
        """Whether the pod did not answer and is to be asked again before the next round."""
        return 0 < self.misses < GIVEN_UP_MISSES

    def answered(self, body: bytes, report: PodReport | None) -> None:
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
    last_reports: dict[Target, LastReport] = field(default_factory=dict)
    health: FleetHealth | None = None
    published: Figures | None = None
    published_at: float = 0.0
    has_changed: bool = False
    """Whether the EndpointSlices have, since they were read."""
    unanswered: int = 0
    """How many questions are on their way."""
    due: float = math.inf
    awaited_until: float = 0.0
    """How long reports are awaited; 0 when they are not, the past when they were in vain, which is not begun again."""
    awaits_all: bool = False
    """Whether every pod is awaited, since all were there at the start, and not just the end of the first poll."""

    def await_all(self, until: float) -> None:
        """Await a report of every pod that is there at the start."""
        self.awaits_all, self.awaited_until = True, until

    def note_change(self, *, await_until: float) -> None:
        """Take down that the EndpointSlices changed; where nothing is known of the pods yet, their reports are awaited."""
        self.has_changed = True
        if self.health is None and not self.awaited_until:
            self.awaited_until = await_until

    def stop_waiting(self) -> None:
        """Go by what was reported from now on."""
        self.awaited_until, self.awaits_all = 0.0, False

    def plan(self, at: float) -> bool:
        """Have the pods asked at `at`; tell whether that is earlier than planned."""
        is_earlier = at < self.due
        self.due = min(at, self.due)
        return is_earlier

    def take_due(self, at: float) -> bool:
        """Tell whether what was planned for `at` is still to be done, and take it."""
        is_due = self.due == at
        self.due = math.inf if is_due else self.due
        return is_due

    def take_targets(self, targets: Iterable[Target]) -> None:
        """Take over the pods that the EndpointSlices show; a change is a reason to ask those at once that did not answer."""
        self.has_changed = False
        known = {target.uid: last for target, last in self.last_reports.items()}
        self.last_reports = {target: known.get(target.uid) or LastReport() for target in targets}
        for last in self.last_reports.values():
            last.ask_at = 0.0
        if not self.last_reports:
            self.stop_waiting()

    def begin_poll(self, now: float) -> list[tuple[Target, LastReport]]:
        """Return the pods that it is time to ask, whose answers are on their way from now on."""
        asked = [(target, last) for target, last in self.last_reports.items() if last.ask_at <= now]
        self.unanswered = len(asked)
        return asked

    def publish(self, now: float) -> bool:
        """Merge the reports; tell whether there is news: another health, or once a minute figures, which change with every request."""
        known, health = self.health, self.merge()
        figures_are_due = health.figures != self.published and now - self.published_at >= FIGURES_SECONDS
        if known is not None and health == known and not figures_are_due:
            return False
        self.published, self.published_at = health.figures, now
        return True

    def merge(self) -> FleetHealth:
        """Return the health of all by their reports; where these are the same as before, as it was."""
        reports = self.last_reports.values()
        if not self.awaits_all or not any(last.is_awaited for last in reports):
            self.stop_waiting()
        if self.health is None or self.health.expected != len(reports) or any(last.report or not last.body for last in reports):
            parsed = [last.report or PodReport.parse(last.body) for last in reports if last.body]
            self.health = fleet.merge(parsed, expected=len(reports), before=self.health)
            for last in reports:
                last.report = None  # three times the memory of what it was read from
        return self.health
