"""The status of a resource as a pure function of what was observed. Decides and words; reads and writes nothing."""

from dataclasses import dataclass
from datetime import datetime

from chatbot_operator import names
from chatbot_operator.fleet import FleetHealth
from chatbot_operator.resource import ChatbotDeployment, ChatbotStatus, Manifest
from chatbot_operator.settings import Settings


@dataclass(frozen=True)
class Problem:
    """Why the children could not be brought to the desired state: a name conflict or a refused apply."""

    reason: str
    message: str


@dataclass(frozen=True)
class Observed:
    """What is live; `pods` are looked at only while the resource is not Ready."""

    deployment: Manifest | None = None
    endpoint_slices: tuple[Manifest, ...] = ()
    pods: tuple[Manifest, ...] = ()
    problem: Problem | None = None


def derive_status(resource: ChatbotDeployment, observed: Observed, fleet: FleetHealth, *, settings: Settings, now: datetime) -> Manifest:
    """Return the whole status; a condition whose status did not change keeps its lastTransitionTime."""
    live = (observed.deployment or {}).get("status") or {}
    status = ChatbotStatus(
        observed_generation=resource.generation,
        replicas=live.get("replicas", 0),
        ready_replicas=live.get("readyReplicas", 0),
        updated_replicas=live.get("updatedReplicas", 0),
        selector=names.selector(resource.name),
        ready=f"{live.get('readyReplicas', 0)}/{resource.spec.replicas}",
        operator_version=settings.operator_version,
    )
    return status.model_dump(by_alias=True, exclude_none=True, mode="json")


def substantially_differs(old: Manifest, new: Manifest) -> bool:
    """Tell whether a write is worth it: anything but timestamps changed."""
    return old != new
