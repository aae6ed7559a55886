"""What a reconcile found, as one value: the input of every decision about the status."""

from dataclasses import dataclass
from enum import StrEnum

from chatbot_operator.resource import Manifest


class ProblemReason(StrEnum):
    """Why the children are not as they should be; reasons of Reconciling and Stalled."""

    CONFLICT = "Conflict"
    WAITING_FOR_DELETION = "WaitingForDeletion"
    ACCESS_DENIED = "AccessDenied"
    WEBHOOK_UNAVAILABLE = "WebhookUnavailable"
    APPLY_REFUSED = "ApplyRefused"


@dataclass(frozen=True)
class Problem:
    """Why the children could not be brought to the desired state: a name conflict, a refusal, or one that is about to go."""

    reason: ProblemReason
    message: str
    passing: bool = False
    """Whether it may be over soon without anybody's help."""


@dataclass(frozen=True)
class Observed:
    """What is live; `pods` are looked at only while the resource is not Ready."""

    deployment: Manifest | None = None
    endpoint_slices: tuple[Manifest, ...] = ()
    pods: tuple[Manifest, ...] = ()
    problem: Problem | None = None
