"""How many pods there should be, by the requests in flight that they report. Pure: what must be remembered goes in and comes out.

What the HorizontalPodAutoscaler does with a metric, without its metrics server: the same tolerance, the same stabilization on the way down.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from chatbot_operator.fleet import FleetHealth
from chatbot_operator.resource import ChatbotSpec, duration_milliseconds
from chatbot_operator.resource.operations import AutoscalingSpec

INTERVAL_SECONDS: Final = 15.0
"""Between two decisions; reports are as old at most."""
TOLERANCE: Final = Fraction(1, 10)
"""A load so close to the target changes nothing."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What was decided, and the recommendations since, as (time, replicas): those that a later one exceeds are left out."""

    replicas: int = 0
    recommendations: tuple[tuple[float, int], ...] = ()


def derive_replicas(spec: ChatbotSpec, fleet: FleetHealth | None, *, current: int | None, memory: Memory = Memory(), now: float) -> Memory:
    """Return the decision and what to remember; `current` is what the Deployment has, None while there is none, `now` in seconds.

    The last decision is what there should be, whatever somebody made of the Deployment since; `current` counts while there was none.
    `replicas: 0` stops the service whatever the load is. A pod that does not report never leads to fewer pods. The first decision after
    a start holds for the whole stabilization, as if the present number had just been recommended.
    """
    scaling = spec.autoscaling
    if not scaling.enabled or spec.replicas == 0:
        return Memory(spec.replicas)
    present = memory.replicas or current
    if not present:
        return Memory(_bounded(spec.replicas, scaling))
    recommended = _bounded(_recommended(scaling, fleet, present), scaling)
    since = now - duration_milliseconds(scaling.scale_down_stabilization) / 1000
    remembered = memory.recommendations or ((now, _bounded(present, scaling)),)
    kept = tuple((at, replicas) for at, replicas in remembered if at > since and replicas > recommended)
    highest = kept[0][1] if kept else recommended
    return Memory(_bounded(min(max(present, recommended), highest), scaling), (*kept, (now, recommended)))


def _recommended(scaling: AutoscalingSpec, fleet: FleetHealth | None, present: int) -> int:
    """Return how many pods the load asks for, before bounds and stabilization."""
    if fleet is None:
        return present
    target = scaling.target_in_flight_per_pod
    load = Fraction(fleet.figures.in_flight, present * target)
    if abs(load - 1) <= TOLERANCE:
        return present
    wanted = math.ceil(Fraction(fleet.figures.in_flight, target))
    is_complete = len(fleet.pods) >= max(present, fleet.expected)
    return wanted if is_complete else max(present, wanted)


def _bounded(replicas: int, scaling: AutoscalingSpec) -> int:
    return min(max(replicas, scaling.min_replicas), scaling.max_replicas)
