"""When a status is written: what somebody must know at once, what merely goes on now and then, figures once a minute.

A rollout that makes progress says nothing until it is over, stands still or has taken long: the first status of a new generation
is then the last one, too, and a healthy new resource costs one write.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from chatbot_operator.cache import ResourceKey
from chatbot_operator.conditions import by_type
from chatbot_operator.reasons import PLANNED, ConditionType
from chatbot_operator.resource import Manifest, State
from chatbot_operator.status import substantially_differs

STILL_SECONDS = 5.0
"""A rollout without progress for so long, beside the time that a pod must stay ready, is told."""
LONG_SECONDS = 30.0
"""A rollout that has taken so long is told, whatever it does, and its counts again after as long."""
CROWD_SECONDS = 0.5
"""All of that waits so much longer for each other rollout that goes on: all are slow then, and a word on each makes them slower."""
MOST_PATIENCE_SECONDS = 120.0
"""However many there are."""
PROGRESS_SECONDS = 15.0
"""Between two writes that change counts and messages only, once a rollout is over."""
FIGURES_SECONDS = 60.0
"""Between two writes that change figures only."""

_WRONG: Final[dict[str, str | None]] = {ConditionType.STALLED: "True", ConditionType.RECONCILING: None, ConditionType.SLO_MET: None}
"""The status of a condition that tells of something wrong, where it is another than False; None where none does."""
_DECIDED: Final = frozenset({State.READY, State.DEGRADED, State.STALLED, State.STOPPED})
_FIGURES: Final = frozenset({"slo", "usage"})
"""With them goes the condition SLOMet, which is derived from them."""
_COUNTS: Final = ("replicas", "readyReplicas", "updatedReplicas")


class Urgency(IntEnum):
    """How long a change of the status can wait."""

    NOTHING = 0
    FIGURES = 1
    PROGRESS = 2
    ROLLOUT = 3
    NOW = 4


def urgency(old: Manifest, new: Manifest) -> Urgency:
    """Return how urgent it is to write `new` where `old` stands."""
    if not substantially_differs(old, new):
        return Urgency.NOTHING
    lags = old.get("observedGeneration") != new["observedGeneration"]
    if _turns(old, new, lags=lags):
        return Urgency.NOW
    if lags:
        return Urgency.ROLLOUT
    return Urgency.PROGRESS if substantially_differs(_without_figures(old), _without_figures(new)) else Urgency.FIGURES


def _turns(old: Manifest, new: Manifest, *, lags: bool) -> bool:
    """Tell whether there is something else to say than before: it is over, it goes wrong in another way, or it goes on after all."""
    before, after = by_type(old), by_type(new)
    served = before.get(ConditionType.AVAILABLE, {}).get("status") == "True"
    return bool(
        (_settles(after) and (lags or not _settles(before)))
        or _alarms(after, served=served, lags=lags) - _alarms(before, served=served, lags=False)
        or (ConditionType.STALLED in before and ConditionType.STALLED not in after)
        or (new["state"] != old.get("state") and new["state"] in _DECIDED)
    )


def _is_settled(status: Manifest) -> bool:
    return _settles(by_type(status))


def _settles(conditions: dict[str, Manifest]) -> bool:
    return conditions.get(ConditionType.READY, {}).get("status") == "True" or ConditionType.STALLED in conditions


def _alarms(conditions: dict[str, Manifest], *, served: bool, lags: bool) -> set[tuple[str, str]]:
    """Return type and reason of each condition that tells of something wrong; neither what was asked for nor that nothing serves yet."""
    return {
        (type_, condition["reason"])
        for type_, condition in conditions.items()
        if condition["status"] == _WRONG.get(type_, "False")
        and not (lags and condition["reason"] in PLANNED)
        and (served or type_ != ConditionType.AVAILABLE)
    }


def _without_figures(status: Manifest) -> Manifest:
    conditions = [condition for condition in status.get("conditions") or () if condition["type"] != ConditionType.SLO_MET]
    return {name: value for name, value in status.items() if name not in _FIGURES} | {"conditions": conditions}


def _patience_seconds(others: int) -> float:
    """Return how much later than otherwise a rollout is told beside so many others."""
    return min(MOST_PATIENCE_SECONDS, CROWD_SECONDS * others)


@dataclass(slots=True)
class _Rollout:
    """A generation that the status does not speak of yet."""

    generation: int
    counts: tuple[int, ...]
    since: float
    moved_at: float
    patience_seconds: float = 0.0


class Reporting:
    """Remembers what was written when."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rollouts: dict[ResourceKey, _Rollout] = {}
        self._written_at: dict[ResourceKey, float] = {}

    def seconds_until_due(self, key: ResourceKey, old: Manifest, new: Manifest, *, min_ready_seconds: int) -> float | None:
        """Return in how many seconds `new` should be written over `old`, or None when it need not be written at all."""
        match urgency(old, new):
            case Urgency.NOTHING:
                return None
            case Urgency.NOW:
                return 0
            case Urgency.ROLLOUT:
                due = self._rollout_due(key, new, min_ready_seconds)
            case Urgency.PROGRESS:
                due = self._written_at.get(key, 0) + self._progress_seconds(new)
            case Urgency.FIGURES:
                due = self._written_at.get(key, 0) + FIGURES_SECONDS
        return max(0.0, due - self._clock())

    def written(self, key: ResourceKey) -> None:
        """Remember that the status was written now."""
        self._written_at[key] = self._clock()
        self._rollouts.pop(key, None)

    def forget(self, key: ResourceKey) -> None:
        """Forget a resource that is gone."""
        self._written_at.pop(key, None)
        self._rollouts.pop(key, None)

    def _progress_seconds(self, new: Manifest) -> float:
        return PROGRESS_SECONDS if _is_settled(new) else LONG_SECONDS + _patience_seconds(len(self._rollouts))

    def _rollout_due(self, key: ResourceKey, new: Manifest, min_ready_seconds: int) -> float:
        now, counts = self._clock(), tuple(new.get(name, 0) for name in _COUNTS)
        rollout = self._rollouts.get(key)
        if rollout is None or rollout.generation != new["observedGeneration"]:
            rollout = self._rollouts[key] = _Rollout(new["observedGeneration"], counts, since=now, moved_at=now)
        elif rollout.counts != counts:
            rollout.counts, rollout.moved_at = counts, now
        rollout.patience_seconds = max(rollout.patience_seconds, _patience_seconds(len(self._rollouts) - 1))
        return rollout.patience_seconds + min(rollout.moved_at + STILL_SECONDS + min_ready_seconds, rollout.since + LONG_SECONDS)
