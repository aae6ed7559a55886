"""Brings the children of a resource to what is desired: applies what differs, prunes what is not wanted, touches nothing foreign.

As long as neither the resource nor its children changed in more than their status, nothing is rendered or compared again.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import structlog

from chatbot_operator import errors, names
from chatbot_operator.cache import Cache, Entry, ObjectKey, ResourceKey, controller_of
from chatbot_operator.cluster import Cluster
from chatbot_operator.desired import PRUNED_KINDS, desired_state
from chatbot_operator.drift import differences
from chatbot_operator.observed import Problem, ProblemReason
from chatbot_operator.resource import KIND, ChatbotDeployment, Manifest
from chatbot_operator.settings import Settings

logger = structlog.get_logger()

_Version = tuple[ObjectKey, str, int]
"""A child as it was when it was found right: its key, uid and intent."""


@dataclass(frozen=True, slots=True)
class _Converged:
    """Under which circumstances which children were found as they should be."""

    uid: str
    intent: int
    replicas: int
    unserved: frozenset[str]
    children: frozenset[_Version]


@dataclass(slots=True)
class Outcome:
    """What became of the children in one pass."""

    verified: set[_Version] = field(default_factory=set)
    applied: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Why each was applied, the first few reasons."""
    problem: Problem | None = None
    """The first that somebody must mend, else the first that may pass."""

    @contextmanager
    def noting(self, child: Manifest) -> Iterator[None]:
        """Take down what stands in the way of one child, so that the others are gone on with."""
        try:
            yield
        except errors.ClusterError as error:
            found = problem_with(child, error)
            if self.problem is None or (self.problem.passing and not found.passing):
                self.problem = found


class Children:
    """Writes the children of every resource, and remembers which are as they should be."""

    def __init__(self, cluster: Cluster, cache: Cache, *, settings: Settings, unserved: Callable[[], frozenset[str]] = frozenset) -> None:
        self._cluster = cluster
        self._cache = cache
        self._settings = settings
        self._unserved = unserved
        self._converged: dict[ResourceKey, _Converged] = {}

    def forget(self, key: ResourceKey) -> None:
        """Forget a resource that is gone."""
        self._converged.pop(key, None)

    async def converge(self, resource: ChatbotDeployment, entry: Entry, *, replicas: int) -> Problem | None:
        """Apply every child that differs, then delete those that are not desired; return what does not work."""
        key = ResourceKey(resource.namespace, resource.name)
        circumstances = (entry.uid, entry.intent, replicas, self._unserved())
        children = frozenset((child.key, child.uid, child.intent) for child in self._cache.children(resource.uid))
        if self._converged.get(key) == _Converged(*circumstances, children):
            return None
        desired = self._desired(resource, replicas)
        outcome = Outcome()
        try:
            for intended in desired:
                with outcome.noting(intended):
                    found = await self._apply(resource, intended, outcome)
                    outcome.verified.add((found.key, found.uid, found.intent))
        finally:
            if outcome.applied:
                logger.info("children applied", reasons=outcome.applied)
        if outcome.problem is None:
            await self._prune(resource, desired, outcome)
        if len(outcome.verified) == len(desired):
            self._converged[key] = _Converged(*circumstances, frozenset(outcome.verified))
        return outcome.problem

    def _desired(self, resource: ChatbotDeployment, replicas: int) -> tuple[Manifest, ...]:
        unserved = self._unserved()
        children = desired_state(resource, self._settings, replicas)
        return tuple(child for child in children if child["kind"] not in unserved)

    async def _apply(self, resource: ChatbotDeployment, intended: Manifest, outcome: Outcome) -> Entry:
        """Return the child as it should be, applied if it was not so; raise BeingDeleted or ForeignObject where it must not be written."""
        entry = self._cache.entry(ObjectKey.of(intended))
        live = entry.manifest() if entry else None
        if live is not None:
            _require_writable(resource, intended, live)
        reasons = differences(intended, live)
        if entry is not None and not reasons:
            return entry
        try:
            answer = await self._cluster.apply(intended, uid=live["metadata"]["uid"] if live else None)
        except errors.ObjectConflict:
            if live is not None:
                raise  # another object of that name by now: the informer is about to say so
            live = await self._cluster.read(*ObjectKey.of(intended))
            _require_writable(resource, intended, live)
            self._cache.put(live)  # ours: an earlier apply was committed and its answer lost
            answer = await self._cluster.apply(intended, uid=live["metadata"]["uid"])
        outcome.applied[f"{intended['kind']} {intended['metadata']['name']}"] = reasons[:5]
        answered = Entry.of(answer)
        self._cache.take(answered)
        return answered

    async def _prune(self, resource: ChatbotDeployment, desired: tuple[Manifest, ...], outcome: Outcome) -> None:
        """Delete what is not desired, but what pods may still mount, which goes when the rollout is complete."""
        wanted = {ObjectKey.of(intended) for intended in desired}
        for entry in self._cache.children(resource.uid):
            if entry.key.kind not in PRUNED_KINDS or entry.key in wanted or self._may_be_mounted(resource, entry.key):
                continue
            child = entry.manifest()
            with outcome.noting(child):
                if "deletionTimestamp" in child["metadata"]:
                    raise _being_deleted(child, f"{_name(child)}, which the spec does without, to go.")
                with suppress(errors.ObjectNotFound):
                    await self._cluster.delete(child)
                self._cache.forget(child)
                logger.info("child pruned", kind=entry.key.kind, child=entry.key.name)

    def _may_be_mounted(self, resource: ChatbotDeployment, child: ObjectKey) -> bool:
        """Tell whether pods of an earlier generation, of which one that is moved must start again, may need the child."""
        prompt = ObjectKey("ConfigMap", resource.namespace, names.prompt_config_map(resource.name))
        return child == prompt and not self._is_rolled_out(resource)

    def _is_rolled_out(self, resource: ChatbotDeployment) -> bool:
        """Tell whether every pod is of the Deployment's present template, and ready."""
        deployment = self._cache.get("Deployment", resource.namespace, names.deployment(resource.name))
        if deployment is None:
            return False
        live = deployment.get("status") or {}
        pods, updated, ready = (live.get(count, 0) for count in ("replicas", "updatedReplicas", "readyReplicas"))
        return bool(live.get("observedGeneration") == deployment["metadata"]["generation"] and pods == updated == ready)


def problem_with(child: Manifest, error: errors.ClusterError) -> Problem:
    """Return what to say of a child that cannot be as it should; raise an error that is not about this child alone."""
    what = _name(child)
    why = str(error).rstrip(".")
    match error:
        case errors.ClusterError(reason="NamespaceTerminating") | errors.AccessDenied(status_code=401):
            raise error
        case errors.ForeignObject():
            return Problem(ProblemReason.CONFLICT, str(error))
        case errors.BeingDeleted():
            return Problem(ProblemReason.WAITING_FOR_DELETION, str(error), passing=True)
        case errors.AccessDenied():
            text = f"The operator may not write {what}: {why}. Give it the roles of its chart; it is tried again by itself."
            return Problem(ProblemReason.ACCESS_DENIED, text, passing=True)
        case errors.WebhookUnavailable():
            text = f"The API server cannot accept {what}: {why}. Mend the webhook if it lasts; it is tried again by itself."
            return Problem(ProblemReason.WEBHOOK_UNAVAILABLE, text, passing=True)
        case errors.RequestRefused():
            text = f"The API server refuses {what}: {why}. Mend that; it is tried again by itself."
            return Problem(ProblemReason.APPLY_REFUSED, text)
    raise error


def _require_writable(resource: ChatbotDeployment, intended: Manifest, live: Manifest) -> None:
    """Raise BeingDeleted for what is about to go, ForeignObject for what is not ours."""
    owner = controller_of(live)
    name = _name(live)
    is_ours = owner is not None and owner["uid"] == resource.uid
    of_a_former = owner is not None and not is_ours and (owner["kind"], owner["name"]) == (KIND, resource.name)
    if of_a_former or "deletionTimestamp" in live["metadata"]:
        whose = f", which belongs to an earlier {KIND} of this name," if of_a_former else ""
        raise _being_deleted(live, f"{name}{whose} to go; it is made anew then.")
    if not is_ours and not _is_adoptable(intended, live):
        whose = f"is controlled by {owner['kind']} {owner['name']}" if owner else "is not controlled by this resource"
        raise errors.ForeignObject(
            f"{name} exists and {whose}: rename or delete it, or, if nothing controls it, label it {names.ADOPT_LABEL}=true"
        )


def _name(child: Manifest) -> str:
    return f"{child['kind']} {child['metadata']['name']}"


def _being_deleted(live: Manifest, what: str) -> errors.BeingDeleted:
    namespace, name = live["metadata"]["namespace"], live["metadata"]["name"]
    command = f"kubectl get {live['kind'].lower()} --namespace {namespace} {name} --output=yaml"
    return errors.BeingDeleted(f"Waits for {what} If that takes long, see its finalizers: {command}.")


def _is_adoptable(intended: Manifest, live: Manifest) -> bool:
    """Tell whether an object without a controller was offered to us, and selects what we would select."""
    labels = live["metadata"].get("labels") or {}
    selector = (intended.get("spec") or {}).get("selector")
    return (
        controller_of(live) is None
        and labels.get(names.ADOPT_LABEL) == "true"
        and (selector is None or (live.get("spec") or {}).get("selector") == selector)
    )
