"""Kubernetes Events for people who run `kubectl describe`: on transitions of conditions only, best effort."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import structlog

from chatbot_operator import errors
from chatbot_operator.cluster import Cluster
from chatbot_operator.resource import GROUP, Manifest
from chatbot_operator.rollout import Reason

MAX_NOTE_LENGTH = 1024

_GOOD: Final = {"Ready": "True", "Available": "True", "CredentialsValid": "True", "Stalled": "False"}
"""Conditions whose transitions are told, and the status of each that is no reason to worry."""

_PLANNED: Final = frozenset({Reason.CREATING, Reason.ROLLING_OUT, Reason.SCALING_DOWN, Reason.SCALED_TO_ZERO})
"""Reasons of what somebody asked for: not being Ready or Available is part of it."""

logger = structlog.get_logger()


@dataclass(frozen=True)
class Transition:
    """One thing worth telling."""

    type: Literal["Normal", "Warning"]
    reason: str
    note: str


def transitions(old: Manifest, new: Manifest) -> tuple[Transition, ...]:
    """Return what changed for better or worse between two statuses; the first look at a resource is no change, unless it is stalled."""
    before = {condition["type"]: condition for condition in old.get("conditions") or ()}
    return tuple(
        Transition("Normal" if _is_expected(condition) else "Warning", condition["reason"], condition["message"])
        for condition in new.get("conditions") or ()
        if condition["type"] in _GOOD and condition["status"] != "Unknown" and _is_news(condition, before.get(condition["type"]))
    )


def _is_good(condition: Manifest) -> bool:
    return bool(condition["status"] == _GOOD[condition["type"]])


def _is_expected(condition: Manifest) -> bool:
    return _is_good(condition) or condition["reason"] in _PLANNED


def _is_news(condition: Manifest, known: Manifest | None) -> bool:
    """Tell whether the condition changed; its reason counts while something is wrong, but Available has no reasons of its own."""
    if known is None:
        return condition["type"] == "Stalled" and not _is_good(condition)
    if known["status"] != condition["status"]:
        return True
    return condition["type"] != "Available" and not _is_good(condition) and bool(known["reason"] != condition["reason"])


class Recorder:
    """Writes Events; a failure is logged and forgotten, since the status tells the same."""

    def __init__(self, cluster: Cluster, *, instance: str, wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._cluster = cluster
        self._instance = instance
        self._wall_clock = wall_clock

    async def record(self, resource: Manifest, transition: Transition) -> None:
        """Write one Event about `resource`."""
        metadata = resource["metadata"]
        event = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"namespace": metadata["namespace"], "name": f"{metadata['name']}.{uuid.uuid4().hex[:16]}"},
            "eventTime": self._wall_clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": f"{GROUP}/operator",
            "reportingInstance": self._instance[:128],
            "action": "Reconcile",
            "type": transition.type,
            "reason": transition.reason,
            "note": transition.note[:MAX_NOTE_LENGTH],
            "regarding": {
                "apiVersion": resource["apiVersion"],
                "kind": resource["kind"],
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        }
        try:
            await self._cluster.create(event)
        except errors.ClusterError as error:
            logger.debug("event not written", reason=transition.reason, error=str(error))
