"""Everything that a decision about the status may look at, and what follows from it at once. Pure.

What is said of this generation is taken from its own pods: those of other revisions, known by the hash of their template, are left out.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from chatbot_operator import pods
from chatbot_operator.fleet import FleetHealth, PodHealth
from chatbot_operator.observed import Observed
from chatbot_operator.pods import PodFailure
from chatbot_operator.resource import ChatbotDeployment, Manifest
from chatbot_operator.settings import Settings


@dataclass(frozen=True)
class View:
    """Everything that a policy may look at."""

    resource: ChatbotDeployment
    observed: Observed
    fleet: FleetHealth
    settings: Settings
    now: datetime
    wanted: int
    """How many pods there should be, whoever decides it."""
    secret_missing_since: datetime | None = None
    was_complete: bool = False
    """Whether this very generation was rolled out once."""

    def count(self, name: str) -> int:
        """Return one of the counts in the Deployment's status; what is zero is left out there."""
        return int(self._live.get(name) or 0)

    @cached_property
    def _live(self) -> Manifest:
        status: Manifest = (self.observed.deployment or {}).get("status") or {}
        return status

    @property
    def deployment_is_current(self) -> bool:
        """Tell whether the Deployment's status speaks of its present spec."""
        metadata = (self.observed.deployment or {}).get("metadata") or {}
        return int(self._live.get("observedGeneration") or 0) >= int(metadata.get("generation") or 0)

    @property
    def rollout_is_paused(self) -> bool:
        """Tell whether the Deployment's controller makes no pods of another revision until somebody lets it."""
        return bool(((self.observed.deployment or {}).get("spec") or {}).get("paused"))

    @property
    def lost_pods(self) -> bool:
        """Tell a complete rollout that lost pods since from one that goes on; a growing Deployment looks alike, but for `was_complete`."""
        return (
            self.was_complete
            and self.deployment_is_current
            and self.deployment_condition("Progressing").get("reason") == "NewReplicaSetAvailable"
            and self.count("updatedReplicas") == self.wanted > self.count("readyReplicas")
        )

    def deployment_condition(self, kind: str) -> Manifest:
        """Return one of the Deployment's conditions, empty when it is not there."""
        return next((condition for condition in self._live.get("conditions") or () if condition["type"] == kind), {})

    @cached_property
    def current_pods(self) -> tuple[Manifest, ...]:
        """Return the pods of this generation; none until the Deployment's controller says that it has made some."""
        if not self.deployment_is_current or self.count("updatedReplicas") == 0:
            return ()
        return pods.current_revision(self.observed.pods, progress=self.deployment_condition("Progressing").get("message", ""))

    @cached_property
    def current_revision(self) -> str | None:
        """Return the hash of this generation's pod template, None while it is not known: the pods tell it, or that all are of one."""
        if self.current_pods:
            return pods.revision(self.current_pods[0])
        only_current = self.deployment_is_current and 0 < self.count("replicas") == self.count("updatedReplicas")
        return next(iter(self.fleet.revisions)) if only_current and len(self.fleet.revisions) == 1 else None

    @cached_property
    def current_health(self) -> tuple[PodHealth, ...]:
        """Return what the pods of this generation reported."""
        return () if self.current_revision is None else self.fleet.of_revision(self.current_revision)

    @cached_property
    def judges(self) -> tuple[PodHealth, ...]:
        """Return the pods that key and model are judged by: this generation's, all until there are some; undecided ones only if all are."""
        health = self.current_health or tuple(self.fleet.pods.values())
        return tuple(pod for pod in health if not pod.undecided) or health

    @cached_property
    def blocked(self) -> tuple[PodHealth, ...]:
        """Return what the pods of this generation reported that are not ready."""
        ready = _ready_uids(self.observed)
        return tuple(pod for pod in self.current_health if pod.uid not in ready)

    @cached_property
    def pod_failure(self) -> PodFailure | None:
        """Return what keeps a pod of this generation from being ready, as scheduler and kubelet see it."""
        return pods.worst_failure(self.current_pods, now=self.now)


def _ready_uids(observed: Observed) -> frozenset[str]:
    """Return the uids of the pods that take traffic, as the pods and the EndpointSlices say."""
    of_pods = {pod["metadata"]["uid"] for pod in observed.pods if pods.is_ready(pod)}
    endpoints = (endpoint for piece in observed.endpoint_slices for endpoint in piece.get("endpoints") or ())
    of_slices = {
        (endpoint.get("targetRef") or {}).get("uid", "") for endpoint in endpoints if (endpoint.get("conditions") or {}).get("ready", True)
    }
    return frozenset(of_pods | of_slices)
