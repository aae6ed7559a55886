"""The situations in which people and tools must come to the same conclusion, as what a reconcile observes and the clock shows.

Nothing here is a condition: those come from the operator's own `derive_status`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum
from typing import Any

from chatbot_operator.fleet import FleetHealth, merge
from chatbot_operator.observed import Observed, Problem, ProblemReason
from tests.observations import COMPLETE, CRASH, DEADLINE, OLD, QUOTA, UNREADY, UNSCHEDULABLE, deployment_of, fleet_of, pod_of, waiting_for
from tests.resources import report_of, window_of

KEPT = ("patch", "--type=merge", '--patch={"metadata": {"finalizers": ["chatbot.dev/still-needed"]}}')
RELEASED = ("patch", "--type=merge", '--patch={"metadata": {"finalizers": null}}')


class Outcome(Enum):
    """What whoever waits should do."""

    GO_ON = "it is as asked for: go on"
    WAIT = "it may still get there: wait"
    GIVE_UP = "only a person can mend it: give up"


@dataclass(frozen=True)
class Moment:
    """What one pass of the operator found, so long after the first; `invalid` is why it could not read the spec."""

    observed: Observed = field(default_factory=Observed)
    fleet: FleetHealth = field(default_factory=lambda: merge((), expected=0))
    after: timedelta = timedelta()
    replicas: int | None = None
    invalid: str = ""


@dataclass(frozen=True)
class Situation:
    """The spec, what the operator saw of it, and what kubectl did to the resource since."""

    outcome: Outcome
    moments: tuple[Moment, ...] = ()
    spec: Mapping[str, Any] = field(default_factory=dict)
    since: tuple[tuple[str, ...], ...] = ()


def _seen(deployment: dict[str, Any] | None, *pods: dict[str, Any], fleet: FleetHealth | None = None, minutes: float = 0) -> Moment:
    observed = Observed(deployment=deployment, pods=pods)
    return Moment(observed, fleet or merge((), expected=0), after=timedelta(minutes=minutes))


_COMPLETE = deployment_of(conditions=[COMPLETE])
_READY = _seen(_COMPLETE, fleet=fleet_of("a", "b", "c"))
_NONE_READY = deployment_of(ready=0)
_NO_KEY = _seen(_NONE_READY, pod_of("a"), fleet=fleet_of("a", credentials="Missing"))
_STILL_NO_KEY = replace(_NO_KEY, after=timedelta(minutes=3))
_BAD_WINDOW = {"1h": window_of(1000, errors=500, latency=(0, 0, 500))}
_CONFLICT = Observed(problem=Problem(ProblemReason.CONFLICT, "Service bot exists and is not ours. Rename or remove it."))
_PASSING = Problem(ProblemReason.WEBHOOK_UNAVAILABLE, "It does not answer.", passing=True)
_HANDS_OFF = ("annotate", "chatbot.dev/reconcile=disabled")
_EDIT = ("patch", "--type=merge", '--patch={"spec": {"logging": {"level": "debug"}}}')
_DELETE = ("delete", "--wait=false")

SITUATIONS: Mapping[str, Situation] = {
    # Nothing is decided yet.
    "just created": Situation(Outcome.WAIT),
    "its Deployment is being created": Situation(Outcome.WAIT, (_seen(None),)),
    "rolling out": Situation(Outcome.WAIT, (_seen(deployment_of(replicas=1, ready=0, updated=1)),)),
    "rolling out while old pods serve": Situation(Outcome.WAIT, (_seen(UNREADY, OLD),)),
    "ready for less than a few seconds": Situation(Outcome.WAIT, (_seen(deployment_of(available=2)),)),
    "scaling to zero": Situation(Outcome.WAIT, (_seen(deployment_of(replicas=2, ready=1)),), {"replicas": 0}),
    "scaled to zero while pods finish their work": Situation(
        Outcome.WAIT, (_seen(deployment_of(replicas=0, ready=0, updated=0, terminating=1)),), {"replicas": 0}
    ),
    "pods lost": Situation(Outcome.WAIT, (_READY, _seen(deployment_of(ready=1, conditions=[COMPLETE])))),
    "edited since": Situation(Outcome.WAIT, (_READY,), since=(_EDIT,)),
    "stopped, and edited since": Situation(
        Outcome.WAIT, (_seen(deployment_of(replicas=0, ready=0, updated=0)),), {"replicas": 0}, since=(_EDIT,)
    ),
    "stalled, and corrected since": Situation(Outcome.WAIT, (Moment(_CONFLICT),), since=(_EDIT,)),
    "being deleted": Situation(Outcome.WAIT, (_READY,), since=(KEPT, _DELETE)),
    "hands off before the first look": Situation(Outcome.WAIT, since=(_HANDS_OFF,)),
    "hands off, and edited since": Situation(Outcome.WAIT, (_READY,), since=(_HANDS_OFF, _EDIT)),
    # Something is wrong that may heal by itself.
    "no Secret for less than 3 minutes": Situation(Outcome.WAIT, (_NO_KEY,)),
    "image that cannot be pulled yet": Situation(Outcome.WAIT, (_seen(_NONE_READY, pod_of("a", **waiting_for("ErrImagePull"))),)),
    "crash": Situation(Outcome.WAIT, (_seen(_NONE_READY, pod_of("a", **CRASH)),)),
    "no room": Situation(Outcome.WAIT, (_seen(_NONE_READY, pod_of("a", **UNSCHEDULABLE)),)),
    "quota": Situation(Outcome.WAIT, (_seen(deployment_of(replicas=0, ready=0, updated=0, conditions=[QUOTA])),)),
    "webhook out of reach": Situation(Outcome.WAIT, (_READY, Moment(Observed(_COMPLETE, problem=_PASSING), _READY.fleet))),
    "key that cannot be checked": Situation(
        Outcome.WAIT, (_seen(_NONE_READY, pod_of("a"), fleet=fleet_of("a", credentials="Unverified", breaker="open")),)
    ),
    # It is as asked for, however well it fares.
    "ready": Situation(Outcome.GO_ON, (_READY,)),
    "scaled to zero": Situation(Outcome.GO_ON, (_seen(deployment_of(replicas=0, ready=0, updated=0)),), {"replicas": 0}),
    "scaled by load": Situation(
        Outcome.GO_ON,
        (Moment(Observed(deployment_of(replicas=5, ready=5, updated=5)), fleet_of(*"abcde"), replicas=5),),
        {"autoscaling": {"enabled": True}},
    ),
    "outage of the API": Situation(Outcome.GO_ON, (_seen(_COMPLETE, fleet=fleet_of("a", "b", "c", breaker="open")),)),
    "objectives missed": Situation(Outcome.GO_ON, (_seen(_COMPLETE, fleet=merge([report_of("a", windows=_BAD_WINDOW)], expected=3)),)),
    "key refused to pods that serve": Situation(
        Outcome.GO_ON, (_READY, _seen(_COMPLETE, fleet=fleet_of("a", "b", "c", credentials="Rejected"), minutes=5))
    ),
    "Secret gone from pods that serve": Situation(
        Outcome.GO_ON, (_READY, _seen(_COMPLETE, fleet=fleet_of("a", "b", "c", credentials="Missing"), minutes=5))
    ),
    "model retired under pods that serve": Situation(
        Outcome.GO_ON, (_READY, _seen(_COMPLETE, fleet=fleet_of("a", "b", "c", model="Retired"), minutes=5))
    ),
    "pods that do not report": Situation(Outcome.GO_ON, (_seen(_COMPLETE),)),
    "healed": Situation(Outcome.GO_ON, (Moment(_CONFLICT), _READY)),
    "hands off when ready": Situation(Outcome.GO_ON, (_READY,), since=(_HANDS_OFF,)),
    # Only a person can mend it.
    "no Secret for 3 minutes": Situation(Outcome.GIVE_UP, (_NO_KEY, _STILL_NO_KEY)),
    "key refused": Situation(Outcome.GIVE_UP, (_seen(_NONE_READY, pod_of("a"), fleet=fleet_of("a", credentials="Rejected")),)),
    "key refused in a rollout that old pods survive": Situation(
        Outcome.GIVE_UP,
        (
            _seen(
                UNREADY,
                OLD,
                pod_of("a"),
                fleet=merge([report_of("old", revision="h0"), report_of("a", credentials="Rejected")], expected=2),
            ),
        ),
    ),
    "model unknown": Situation(Outcome.GIVE_UP, (_seen(_NONE_READY, pod_of("a"), fleet=fleet_of("a", model="NotFound")),)),
    "image that may not be pulled": Situation(Outcome.GIVE_UP, (_seen(_NONE_READY, pod_of("a", **waiting_for("ErrImageNeverPull"))),)),
    "image that could not be pulled in time": Situation(
        Outcome.GIVE_UP, (_seen(deployment_of(ready=0, conditions=[DEADLINE]), pod_of("a", **waiting_for("ImagePullBackOff"))),)
    ),
    "progress deadline": Situation(Outcome.GIVE_UP, (_seen(deployment_of(ready=1, conditions=[DEADLINE])),)),
    "name taken": Situation(Outcome.GIVE_UP, (Moment(_CONFLICT),)),
    "name of a child taken under pods that serve": Situation(
        Outcome.GIVE_UP, (_READY, Moment(Observed(_COMPLETE, problem=_CONFLICT.problem), _READY.fleet))
    ),
    "spec that cannot be read": Situation(Outcome.GIVE_UP, (_READY, Moment(invalid="demo/bot: spec.replicas: Input should be an integer"))),
    "hands off when stalled": Situation(Outcome.GIVE_UP, (Moment(_CONFLICT),), since=(_HANDS_OFF,)),
}
