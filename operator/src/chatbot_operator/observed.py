"""What a reconcile found, as one value: the input of every decision about the status."""

from dataclasses import dataclass

from chatbot_operator.resource import Manifest


@dataclass(frozen=True)
class Problem:
    """Why the children could not be brought to the desired state: a name conflict, a refusal, or one that is about to go."""

    reason: str
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
