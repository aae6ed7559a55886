"""The pods of resources whose rollout does not get on: listed on demand, the later the longer it lasts, to say why."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from chatbot_operator import errors, names
from chatbot_operator.cache import ResourceKey
from chatbot_operator.cluster import Cluster
from chatbot_operator.resource import Manifest

LOOK_SECONDS = 5.0
LOOK_CAP_SECONDS = 60.0
"""Pods that start in the normal time are not looked at; the longer they stay unready, the longer it is between two looks."""

logger = structlog.get_logger()


@dataclass(slots=True)
class _Looks:
    """When the pods of one rollout were and will be looked at, and what was seen."""

    rollout: str | None
    since: float
    next_at: float
    pods: tuple[Manifest, ...] = ()


class UnreadyPods:
    """Remembers which resources have unready pods, and what was last seen of them."""

    def __init__(self, cluster: Cluster, *, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._clock = clock
        self._looks: dict[ResourceKey, _Looks] = {}

    def __contains__(self, key: ResourceKey) -> bool:
        """Tell whether pods of the resource are, or will be, looked at."""
        return key in self._looks

    def forget(self, key: ResourceKey) -> None:
        """Forget a resource that is gone, or whose pods are ready."""
        self._looks.pop(key, None)

    async def look(self, key: ResourceKey, deployment: Manifest | None) -> tuple[Manifest, ...]:
        """Return the pods when some have been unready for longer than a start takes. Each rollout is looked at anew."""
        live = (deployment or {}).get("status") or {}
        if not live.get("updatedReplicas") or live.get("replicas", 0) <= live.get("readyReplicas", 0):
            self.forget(key)
            return ()
        now, rollout = self._clock(), _rollout_of(deployment)
        looks = self._looks.get(key)
        if looks is None or looks.rollout != rollout:
            looks = self._looks[key] = _Looks(rollout, since=now, next_at=now + LOOK_SECONDS)
        if now < looks.next_at:
            return looks.pods
        try:
            listed, _ = await self._cluster.list("Pod", namespace=key.namespace, selector=names.selector(key.name))
        except errors.ClusterError as error:
            logger.debug("pods not listed", error=str(error))
            return looks.pods
        looks.pods = tuple(listed)
        looks.next_at = now + min(LOOK_CAP_SECONDS, max(LOOK_SECONDS, (now - looks.since) / 4))
        return looks.pods


def _rollout_of(deployment: Manifest | None) -> str | None:
    """Return the number of the rollout; scaling begins none."""
    annotations: Manifest = ((deployment or {}).get("metadata") or {}).get("annotations") or {}
    return annotations.get(names.REVISION_ANNOTATION)
