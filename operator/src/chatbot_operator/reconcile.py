"""The one sequence: observe → desired → apply what differs → prune → report. And the worker that runs it for a key.

Reads come from the cache. A new resource costs one request for each child and one for its status; a second pass costs none.
"""

import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import structlog

from chatbot_operator import errors, fleet, names
from chatbot_operator.cache import Cache, ObjectKey, ResourceKey, controller_of
from chatbot_operator.cluster import Cluster
from chatbot_operator.desired import CHILD_KINDS, desired_state
from chatbot_operator.drift import differences
from chatbot_operator.events import Recorder, transitions
from chatbot_operator.fleet import FleetHealth
from chatbot_operator.observed import Observed, Problem
from chatbot_operator.probe import endpoint_slices, is_ready, targets
from chatbot_operator.queue import Lane, Queue
from chatbot_operator.resource import KIND, ChatbotDeployment, Manifest
from chatbot_operator.settings import Settings
from chatbot_operator.status import derive_invalid_status, derive_status, substantially_differs

UNREADY_PODS_SECONDS = 5.0
UNREADY_PODS_CAP_SECONDS = 60.0
"""Pods that start in the normal time are not looked at; the longer they stay unready, the longer it is between two looks."""
NOT_READY_SECONDS = 5.0
"""Between two passes over a resource that is not Ready, for what no event announces: pods' states and grace periods."""
PROBLEM_SECONDS = 30.0
"""Between two tries of what the API server refused or a foreign object blocks: neither is watched."""

logger = structlog.get_logger()


@dataclass
class _Looks:
    """When unready pods were and will be looked at, and what was seen."""

    since: float
    next_at: float
    pods: tuple[Manifest, ...] = ()


class Reconciler:
    """Brings the cluster to what a resource says, and the resource's status to what the cluster shows."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        *,
        health: Callable[[ResourceKey], FleetHealth | None],
        recorder: Recorder,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._health = health
        self._recorder = recorder
        self._settings = settings
        self._clock = clock
        self._wall_clock = wall_clock
        self._pods: dict[ResourceKey, _Looks] = {}

    async def reconcile(self, key: ResourceKey) -> float | None:
        """Run the sequence once; return in how many seconds it should run again without an event."""
        manifest = self._cache.get(KIND, *key)
        if manifest is None or _hands_off(manifest):
            self._pods.pop(key, None)
            return None
        try:
            resource = ChatbotDeployment.from_manifest(manifest)
        except errors.SpecInvalid as error:
            invalid = derive_invalid_status(manifest, str(error), settings=self._settings, now=self._wall_clock())
            await self._write_status(manifest, invalid)
            return None
        problem = await self._converge(resource)
        if self._health(key) is None and targets(endpoint_slices(self._cache, key)):
            return NOT_READY_SECONDS  # a status that knows nothing of the pods would undo the last one; the first poll is about to end
        status = await self._observe(resource, problem)
        await self._write_status(manifest, status)
        if problem is not None:
            return PROBLEM_SECONDS
        return None if is_ready({"status": status}) else NOT_READY_SECONDS

    async def _converge(self, resource: ChatbotDeployment) -> Problem | None:
        """Apply every child that differs, then delete those that are not desired; return the first thing that does not work."""
        problem = None
        desired = desired_state(resource, self._settings, resource.spec.replicas)
        for intended in desired:
            try:
                await self._apply(resource, intended)
            except errors.ForeignObject as error:
                problem = problem or Problem("Conflict", str(error))
            except errors.RequestRefused as error:
                if error.reason == "NamespaceTerminating":
                    raise
                what = f"{intended['kind']} {intended['metadata']['name']}"
                why = str(error).rstrip(".")
                problem = problem or Problem(
                    "ApplyRefused", f"The API server refuses {what}: {why}. Mend that; it is tried again by itself."
                )
        if problem is None:
            await self._prune(resource, desired)
        return problem

    async def _apply(self, resource: ChatbotDeployment, intended: Manifest) -> None:
        live = self._cache.get(*ObjectKey.of(intended))
        if live is not None and not self._may_write(resource, intended, live):
            return
        if not (reasons := differences(intended, live)):
            return
        try:
            answer = await self._cluster.apply(intended, uid=live["metadata"]["uid"] if live else None)
        except errors.ObjectConflict:
            if live is not None:
                raise  # another object of that name by now: the informer is about to say so
            live = await self._cluster.read(*ObjectKey.of(intended))
            if not self._may_write(resource, intended, live):
                return
            self._cache.put(live)  # ours: an earlier apply was committed and its answer lost
            answer = await self._cluster.apply(intended, uid=live["metadata"]["uid"])
        self._cache.put(answer)
        logger.info("child applied", kind=intended["kind"], child=intended["metadata"]["name"], reasons=reasons[:5])

    def _may_write(self, resource: ChatbotDeployment, intended: Manifest, live: Manifest) -> bool:
        """Tell whether to write `live`: not while it is being deleted; raise ForeignObject when it is not ours at all."""
        owner = controller_of(live)
        if (owner is None or owner["uid"] != resource.uid) and not _is_adoptable(intended, live):
            name = f"{live['kind']} {live['metadata']['name']}"
            if owner and (owner["kind"], owner["name"]) == (KIND, resource.name):
                raise errors.ObjectConflict(f"{name} still belongs to an earlier {KIND} of this name")
            whose = f"is controlled by {owner['kind']} {owner['name']}" if owner else "is not controlled by this resource"
            raise errors.ForeignObject(
                f"{name} exists and {whose}: rename or delete it, or, if nothing controls it, label it {names.ADOPT_LABEL}=true"
            )
        return "deletionTimestamp" not in live["metadata"]

    async def _prune(self, resource: ChatbotDeployment, desired: tuple[Manifest, ...]) -> None:
        wanted = {ObjectKey.of(intended) for intended in desired}
        for child in self._cache.children(resource.uid):
            if child["kind"] not in CHILD_KINDS or ObjectKey.of(child) in wanted or "deletionTimestamp" in child["metadata"]:
                continue
            with suppress(errors.ObjectNotFound):
                await self._cluster.delete(child)
            self._cache.forget(child)
            logger.info("child pruned", kind=child["kind"], child=child["metadata"]["name"])

    async def _observe(self, resource: ChatbotDeployment, problem: Problem | None) -> Manifest:
        """Return the status that follows from what is live."""
        key = ResourceKey(resource.namespace, resource.name)
        deployment = self._cache.get("Deployment", resource.namespace, names.deployment(resource.name))
        if deployment is not None and (controller_of(deployment) or {}).get("uid") != resource.uid:
            deployment = None
        slices = endpoint_slices(self._cache, key)
        observed = Observed(deployment, slices, await self._unready_pods(key, deployment), problem)
        health = self._health(key) or fleet.merge((), expected=resource.spec.replicas)
        return derive_status(resource, observed, health, settings=self._settings, now=self._wall_clock())

    async def _write_status(self, manifest: Manifest, status: Manifest) -> None:
        """Write the status if it changed in substance, and tell transitions as Events."""
        old = manifest.get("status") or {}
        if not substantially_differs(old, status):
            return
        try:
            self._cache.put(await self._cluster.apply_status(manifest, status))
        except errors.ObjectNotFound:
            self._cache.forget(manifest)
            return
        for transition in transitions(old, status):
            await self._recorder.record(manifest, transition)

    async def _unready_pods(self, key: ResourceKey, deployment: Manifest | None) -> tuple[Manifest, ...]:
        """Return the pods when some have been unready for longer than a start takes; they say why."""
        live = (deployment or {}).get("status") or {}
        if live.get("replicas", 0) <= live.get("readyReplicas", 0):
            self._pods.pop(key, None)
            return ()
        now = self._clock()
        looks = self._pods.setdefault(key, _Looks(since=now, next_at=now + UNREADY_PODS_SECONDS))
        if now < looks.next_at:
            return looks.pods
        try:
            listed, _ = await self._cluster.list("Pod", namespace=key.namespace, selector=names.selector(key.name))
        except errors.ClusterError as error:
            logger.debug("pods not listed", error=str(error))
            return looks.pods
        looks.pods = tuple(listed)
        looks.next_at = now + min(UNREADY_PODS_CAP_SECONDS, max(UNREADY_PODS_SECONDS, (now - looks.since) / 4))
        return looks.pods


def _hands_off(manifest: Manifest) -> bool:
    """Tell whether nothing is to be done: the resource is going away, or its owner said so."""
    metadata = manifest["metadata"]
    return "deletionTimestamp" in metadata or (metadata.get("annotations") or {}).get(names.RECONCILE_ANNOTATION) == "disabled"


def _is_adoptable(intended: Manifest, live: Manifest) -> bool:
    """Tell whether an object without a controller was offered to us, and selects what we would select."""
    labels = live["metadata"].get("labels") or {}
    selector = (intended.get("spec") or {}).get("selector")
    return (
        controller_of(live) is None
        and labels.get(names.ADOPT_LABEL) == "true"
        and (selector is None or (live.get("spec") or {}).get("selector") == selector)
    )


async def work(
    queue: Queue[ResourceKey],
    reconciler: Reconciler,
    *,
    observe: Callable[[Literal["success", "requeue_after", "error"], float], None] = lambda _result, _seconds: None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Take keys and reconcile them, one after the other, until cancelled or no longer the leader."""
    while True:
        key = await queue.get()
        started = clock()
        try:
            with structlog.contextvars.bound_contextvars(namespace=key.namespace, name=key.name, reconcile_id=uuid.uuid4().hex[:8]):
                result = await _reconcile_once(queue, reconciler, key)
            observe(result, clock() - started)
        finally:
            queue.done(key)


async def _reconcile_once(
    queue: Queue[ResourceKey], reconciler: Reconciler, key: ResourceKey
) -> Literal["success", "requeue_after", "error"]:
    """Reconcile one key and plan its next time; the boundary behind which an error is this key's alone."""
    try:
        seconds = await reconciler.reconcile(key)
    except errors.LeadershipLost:
        queue.add(key)
        raise
    except errors.ClusterError as error:
        if error.reason == "NamespaceTerminating":
            queue.forget(key)
            return "success"
        delay = queue.backoff(key, at_least_seconds=error.retry_after_seconds or 0)
        log = logger.debug if isinstance(error, errors.ObjectConflict) else logger.warning
        log("reconcile postponed", error=str(error), error_type=type(error).__name__, retry_in_seconds=round(delay, 1))
        return "error"
    except Exception:
        logger.exception("reconcile failed", retry_in_seconds=round(queue.backoff(key), 1))
        return "error"
    queue.forget(key)
    if seconds is None:
        return "success"
    queue.add_after(key, seconds, lane=Lane.ROUTINE)
    return "requeue_after"
