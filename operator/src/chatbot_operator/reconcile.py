"""The one sequence: observe → desired → apply what differs → prune → report.

Reads come from the cache. A new resource costs one request for each child and one for its status; a second pass costs none.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from chatbot_operator import autoscale, errors, fleet, names
from chatbot_operator.cache import Cache, ObjectKey, ResourceKey
from chatbot_operator.children import Children
from chatbot_operator.client_tokens import ClientTokens
from chatbot_operator.cluster import Cluster
from chatbot_operator.endpoints import endpoint_slices
from chatbot_operator.events import Recorder, transitions
from chatbot_operator.fleet import FleetHealth
from chatbot_operator.observed import Observed, Problem
from chatbot_operator.reporting import Reporting
from chatbot_operator.resource import KIND, ChatbotDeployment, Manifest
from chatbot_operator.settings import Settings
from chatbot_operator.status import derive_invalid_status, derive_status, is_ready, keep_reported, substantially_differs
from chatbot_operator.unready_pods import UnreadyPods

NOT_READY_SECONDS = 5.0
NOT_READY_CAP_SECONDS = 30.0
"""Between two passes over a resource that is not Ready, for what no event announces: pods' states and grace periods."""
PROBLEM_SECONDS = 30.0
"""Between two tries of what the API server refused or a foreign object blocks: neither is watched."""


class Reconciler:
    """Brings the cluster to what a resource says, and the resource's status to what the cluster shows."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        *,
        health: Callable[[ResourceKey], FleetHealth | None],
        unheard: Callable[[ResourceKey], bool] = lambda _key: False,
        unserved: Callable[[], frozenset[str]] = frozenset,
        recorder: Recorder,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._health = health
        self._unheard = unheard
        self._recorder = recorder
        self._settings = settings
        self._clock = clock
        self._wall_clock = wall_clock
        self._children = Children(cluster, cache, settings=settings, unserved=unserved)
        self._client_tokens = ClientTokens(cluster, clock=clock)
        self._reporting = Reporting(clock=clock)
        self._uids: dict[ResourceKey, str] = {}
        self._scaling: dict[ResourceKey, autoscale.Memory] = {}
        self._not_ready_since: dict[ResourceKey, float] = {}
        self._unready_pods = UnreadyPods(cluster, clock=clock)

    def attention_seconds(self, key: ResourceKey) -> float | None:
        """Return when to look at a resource again that is not Ready, the later the longer it has not been, or None when it is Ready."""
        since = self._not_ready_since.get(key)
        if since is None:
            return None
        return min(NOT_READY_CAP_SECONDS, max(NOT_READY_SECONDS, (self._clock() - since) / 8))

    async def reconcile(self, key: ResourceKey) -> float | None:
        """Run the sequence once; return in how many seconds it should run again without an event."""
        entry = self._cache.entry(ObjectKey(KIND, *key))
        manifest = entry.manifest() if entry else None
        if entry is None or manifest is None or _hands_off(manifest):
            self._forget(key)
            return None
        if self._uids.setdefault(key, entry.uid) != entry.uid:
            self._forget(key)  # what is remembered is another resource's, which had the name before
            self._uids[key] = entry.uid
        try:
            resource = ChatbotDeployment.from_manifest(manifest)
        except errors.SpecInvalid as error:
            await self._report_invalid(manifest, str(error))
            raise
        replicas = self._decide_replicas(key, resource)
        problem = await self._children.converge(resource, entry, replicas=replicas)
        health = self._health(key)
        missing = health is not None and health.client_tokens_missing
        problem = problem or await self._client_tokens.ensure(resource, missing=missing)
        is_newborn = health is None and key not in self._not_ready_since and not _is_told(manifest)
        if is_newborn:
            self._not_ready_since[key] = self._clock()
        unheard = self._is_unheard(key, manifest)
        if problem is None and (is_newborn or unheard):
            return NOT_READY_SECONDS  # what was made, and the pods, say more in a moment
        status = await self._observe(resource, problem, replicas=replicas)
        due = await self._report(manifest, keep_reported(status, resource.status) if unheard else status, resource)
        again = self._look_again_seconds(key, problem)
        decide = autoscale.INTERVAL_SECONDS if resource.spec.autoscaling.enabled and replicas else None
        create = self._client_tokens.again_seconds(key) if missing else None
        return min((seconds for seconds in (due, again, decide, create) if seconds is not None), default=None)

    def _look_again_seconds(self, key: ResourceKey, problem: Problem | None) -> float | None:
        """Return when to look for what no event announces: what stood in the way is gone, or unready pods say something else."""
        if problem and not problem.passing:
            return PROBLEM_SECONDS
        return self.attention_seconds(key) if problem or key in self._unready_pods else None

    def _decide_replicas(self, key: ResourceKey, resource: ChatbotDeployment) -> int:
        """Return how many pods there should be: as the spec says, or as the load does where it may."""
        if not resource.spec.autoscaling.enabled:
            self._scaling.pop(key, None)
            return resource.spec.replicas
        deployment = self._deployment(resource)
        decided = self._scaling[key] = autoscale.derive_replicas(
            resource.spec,
            self._health(key),
            current=deployment["spec"]["replicas"] if deployment else None,
            memory=self._scaling.get(key, autoscale.Memory()),
            now=self._clock(),
        )
        return decided.replicas

    def _forget(self, key: ResourceKey) -> None:
        self._uids.pop(key, None)
        self._children.forget(key)
        self._client_tokens.forget(key)
        self._reporting.forget(key)
        self._scaling.pop(key, None)
        self._not_ready_since.pop(key, None)
        self._unready_pods.forget(key)

    def _is_unheard(self, key: ResourceKey, manifest: Manifest) -> bool:
        """Tell whether a status would come a moment before the pods' first word, or undo what the last one says of them."""
        return self._unheard(key) and (self._health(key) is None or "upstream" in (manifest.get("status") or {}))

    def _deployment(self, resource: ChatbotDeployment) -> Manifest | None:
        """Return the live Deployment, unless it is somebody else's."""
        entry = self._cache.entry(ObjectKey("Deployment", resource.namespace, names.deployment(resource.name)))
        return entry.manifest() if entry and entry.owner == resource.uid else None

    async def _observe(self, resource: ChatbotDeployment, problem: Problem | None, *, replicas: int) -> Manifest:
        """Return the status that follows from what is live."""
        key = ResourceKey(resource.namespace, resource.name)
        deployment = self._deployment(resource)
        slices = endpoint_slices(self._cache, key, owner=resource.uid)
        observed = Observed(deployment, slices, await self._unready_pods.look(key, deployment), problem)
        health = self._health(key) or fleet.merge((), expected=replicas)
        return derive_status(resource, observed, health, settings=self._settings, now=self._wall_clock(), replicas=replicas)

    async def _report(self, manifest: Manifest, status: Manifest, resource: ChatbotDeployment) -> float | None:
        """Write the status if it is time to; return in how many seconds it will be, None when there is nothing to write."""
        key = ResourceKey(resource.namespace, resource.name)
        if is_ready(status):
            self._not_ready_since.pop(key, None)
        else:
            self._not_ready_since.setdefault(key, self._clock())
        old = manifest.get("status") or {}
        seconds = self._reporting.seconds_until_due(key, old, status, min_ready_seconds=resource.spec.rollout.min_ready_seconds)
        if seconds != 0:
            return seconds
        await self._write_status(manifest, status)
        return None

    async def _report_invalid(self, manifest: Manifest, problem: str) -> None:
        status = derive_invalid_status(manifest, problem, settings=self._settings, now=self._wall_clock())
        if substantially_differs(manifest.get("status") or {}, status):
            await self._write_status(manifest, status)

    async def _write_status(self, manifest: Manifest, status: Manifest) -> None:
        """Write the status, and tell transitions as Events; forget a resource that is gone."""
        key = ResourceKey.of(manifest)
        try:
            self._cache.put(await self._cluster.apply_status(manifest, status))
        except errors.ObjectNotFound:
            self._cache.forget(manifest)
            self._forget(key)
            return
        self._reporting.written(key)
        for transition in transitions(manifest.get("status") or {}, status):
            await self._recorder.record(manifest, transition)


def _hands_off(manifest: Manifest) -> bool:
    """Tell whether nothing is to be done: the resource is going away, or its owner said so."""
    metadata = manifest["metadata"]
    return "deletionTimestamp" in metadata or (metadata.get("annotations") or {}).get(names.RECONCILE_ANNOTATION) == "disabled"


def _is_told(manifest: Manifest) -> bool:
    """Tell whether the status says anything of the resource yet."""
    return bool((manifest.get("status") or {}).get("observedGeneration", -1) >= 0)
