"""Kubernetes Events for people who run `kubectl describe`: on transitions of conditions only, each once in ten minutes, best effort.

They follow from two statuses, so a restart repeats none.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import structlog

from chatbot_operator import errors
from chatbot_operator.cluster import Cluster
from chatbot_operator.conditions import by_type
from chatbot_operator.reasons import PLANNED, ConditionType
from chatbot_operator.resource import GROUP, Manifest

MAX_NOTE_BYTES = 1024
"""Of UTF-8: the API server counts bytes."""

REPEAT_SECONDS = 600.0
"""For so long the same words about the same object are not said again."""

_GOOD: Final = {
    ConditionType.READY: "True",
    ConditionType.STALLED: "False",
    ConditionType.AVAILABLE: "True",
    ConditionType.CREDENTIALS_VALID: "True",
    ConditionType.MODEL_AVAILABLE: "True",
    ConditionType.UPSTREAM_AVAILABLE: "True",
    ConditionType.SLO_MET: "True",
}
"""Conditions whose transitions are told, and the status of each that is no reason to worry."""

logger = structlog.get_logger()


@dataclass(frozen=True)
class Transition:
    """One thing worth telling."""

    type: Literal["Normal", "Warning"]
    reason: str
    note: str


def transitions(old: Manifest, new: Manifest) -> tuple[Transition, ...]:
    """Return what went wrong between two statuses, or goes well again; what was asked for is neither, nor is a resource's first start."""
    before, after = by_type(old), by_type(new)
    found = [_transition(after[type_], before.get(type_), before) for type_ in _GOOD if type_ in after]
    if ConditionType.STALLED in before and ConditionType.STALLED not in after:
        found.append(Transition("Normal", after[ConditionType.READY]["reason"], after[ConditionType.READY]["message"]))
    return tuple(dict.fromkeys(transition for transition in found if transition))


def _transition(condition: Manifest, known: Manifest | None, before: dict[str, Manifest]) -> Transition | None:
    """Return what there is to tell of one condition; only being stalled is told of a resource that nothing was known of."""
    if known is None and condition["type"] != ConditionType.STALLED:
        return None
    if _is_wrong(condition):
        return Transition("Warning", condition["reason"], condition["message"]) if _is_news(condition, known) else None
    recovered = known is not None and condition["status"] != "Unknown" and _was_wrong(known, before)
    return Transition("Normal", condition["reason"], condition["message"]) if recovered else None


def _is_news(condition: Manifest, known: Manifest | None) -> bool:
    """Tell whether what is wrong was not, or not in this way; Available has no reasons of its own, so it must have been true."""
    if known is None:
        return True
    if condition["type"] == ConditionType.AVAILABLE:
        return bool(known["status"] == "True")
    return not _is_wrong(known) or bool(known["reason"] != condition["reason"])


def _is_wrong(condition: Manifest) -> bool:
    return condition["status"] not in ("Unknown", _GOOD[condition["type"]]) and condition["reason"] not in PLANNED


def _was_wrong(condition: Manifest, before: dict[str, Manifest]) -> bool:
    """Tell whether something was wrong before; that nothing served yet while a resource started was not."""
    ready = before.get(ConditionType.READY)
    started = condition["type"] == ConditionType.AVAILABLE and ready is not None and not _is_wrong(ready)
    return _is_wrong(condition) and not started


class Told:
    """Remembers what was said about which object, for ten minutes."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at: dict[tuple[str, Transition], float] = {}

    def is_repetition(self, uid: str, transition: Transition) -> bool:
        """Tell whether it was said within the last ten minutes."""
        now = self._clock()
        while self._at and now - next(iter(self._at.values())) >= REPEAT_SECONDS:
            del self._at[next(iter(self._at))]
        return (uid, transition) in self._at

    def add(self, uid: str, transition: Transition) -> None:
        """Remember that it was said now."""
        self._at[uid, transition] = self._clock()


class Recorder:
    """Writes Events; a failure is logged and forgotten, since the status tells the same."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        instance: str,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster = cluster
        self._instance = instance
        self._wall_clock = wall_clock
        self._told = Told(clock=clock)

    async def record(self, resource: Manifest, transition: Transition) -> None:
        """Write one Event about `resource`, unless it was written a short time ago."""
        uid = resource["metadata"]["uid"]
        if self._told.is_repetition(uid, transition):
            return
        try:
            await self._cluster.create(self._event(resource, transition))
        except errors.ClusterError as error:
            logger.debug("event not written", reason=transition.reason, error=str(error))
        else:
            self._told.add(uid, transition)

    def _event(self, resource: Manifest, transition: Transition) -> Manifest:
        metadata = resource["metadata"]
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"namespace": metadata["namespace"], "name": f"{metadata['name']}.{uuid.uuid4().hex[:16]}"},
            "eventTime": self._wall_clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": f"{GROUP}/operator",
            "reportingInstance": self._instance[:128],
            "action": "Reconcile",
            "type": transition.type,
            "reason": transition.reason,
            "note": transition.note.encode()[:MAX_NOTE_BYTES].decode(errors="ignore"),
            "regarding": {
                "apiVersion": resource["apiVersion"],
                "kind": resource["kind"],
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        }
