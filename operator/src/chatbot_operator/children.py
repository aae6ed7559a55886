"""Brings the children of a resource to what is desired: applies what differs, prunes what is not wanted, touches nothing foreign.

As long as neither the resource nor its children changed in more than their status, nothing is rendered or compared again.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from chatbot_operator import errors, names
from chatbot_operator.cache import Cache, Entry, ObjectKey, ResourceKey, controller_of
from chatbot_operator.cluster import Cluster
from chatbot_operator.desired import CHILD_KINDS, desired_state
from chatbot_operator.drift import differences
from chatbot_operator.observed import Problem
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
class _Outcome:
    """What became of the children in one pass."""

    verified: set[_Version] = field(default_factory=set)
    applied: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Why each was applied, the first few reasons."""
    problem: Problem | None = None


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
        """Apply every child that differs, then delete those that are not desired; return the first thing that does not work."""
        key = ResourceKey(resource.namespace, resource.name)
        circumstances = (entry.uid, entry.intent, replicas, self._unserved())
        children = frozenset((child.key, child.uid, child.intent) for child in self._cache.children(resource.uid))
        if self._converged.get(key) == _Converged(*circumstances, children):
            return None
        desired = self._desired(resource, replicas)
        outcome = _Outcome()
        try:
            for intended in desired:
                await self._settle(resource, intended, outcome)
        finally:
            if outcome.applied:
                logger.info("children applied", reasons=outcome.applied)
        if outcome.problem is None:
            await self._prune(resource, desired)
        if len(outcome.verified) == len(desired):
            self._converged[key] = _Converged(*circumstances, frozenset(outcome.verified))
        return outcome.problem

    async def _settle(self, resource: ChatbotDeployment, intended: Manifest, outcome: _Outcome) -> None:
        """Bring one child to what is intended, or note what stands in the way."""
        try:
            if found := await self._apply(resource, intended, outcome):
                outcome.verified.add((found.key, found.uid, found.intent))
        except errors.ForeignObject as error:
            outcome.problem = outcome.problem or Problem("Conflict", str(error))
        except (errors.RequestRefused, errors.WebhookUnavailable) as error:
            outcome.problem = outcome.problem or refusal(intended, error)

    def _desired(self, resource: ChatbotDeployment, replicas: int) -> tuple[Manifest, ...]:
        unserved = self._unserved()
        children = desired_state(resource, self._settings, replicas)
        return tuple(child for child in children if child["kind"] not in unserved)

    async def _apply(self, resource: ChatbotDeployment, intended: Manifest, outcome: _Outcome) -> Entry | None:
        """Return the child as it should be, applied if it was not so; None when it must not be written now."""
        entry = self._cache.entry(ObjectKey.of(intended))
        live = entry.manifest() if entry else None
        if live is not None and not self._may_write(resource, intended, live):
            return None
        if not (reasons := differences(intended, live)):
            return entry
        try:
            answer = await self._cluster.apply(intended, uid=live["metadata"]["uid"] if live else None)
        except errors.ObjectConflict:
            if live is not None:
                raise  # another object of that name by now: the informer is about to say so
            live = await self._cluster.read(*ObjectKey.of(intended))
            if not self._may_write(resource, intended, live):
                return None
            self._cache.put(live)  # ours: an earlier apply was committed and its answer lost
            answer = await self._cluster.apply(intended, uid=live["metadata"]["uid"])
        outcome.applied[f"{intended['kind']} {intended['metadata']['name']}"] = reasons[:5]
        answered = Entry.of(answer)
        self._cache.take(answered)
        return answered

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
        for entry in self._cache.children(resource.uid):
            if entry.key.kind not in CHILD_KINDS or entry.key in wanted:
                continue
            child = entry.manifest()
            if "deletionTimestamp" in child["metadata"]:
                continue
            with suppress(errors.ObjectNotFound):
                await self._cluster.delete(child)
            self._cache.forget(child)
            logger.info("child pruned", kind=entry.key.kind, child=entry.key.name)


def refusal(intended: Manifest, error: errors.RequestRefused | errors.WebhookUnavailable) -> Problem:
    """Return what to say of a child that the API server does not accept; raise the error when the whole namespace is about to go."""
    if error.reason == "NamespaceTerminating":
        raise error
    what = f"{intended['kind']} {intended['metadata']['name']}"
    why = str(error).rstrip(".")
    if isinstance(error, errors.WebhookUnavailable):
        text = f"The API server cannot accept {what}: {why}. Mend the webhook if it lasts; it is tried again by itself."
        return Problem("WebhookUnavailable", text, passing=True)
    return Problem("ApplyRefused", f"The API server refuses {what}: {why}. Mend that; it is tried again by itself.")


def _is_adoptable(intended: Manifest, live: Manifest) -> bool:
    """Tell whether an object without a controller was offered to us, and selects what we would select."""
    labels = live["metadata"].get("labels") or {}
    selector = (intended.get("spec") or {}).get("selector")
    return (
        controller_of(live) is None
        and labels.get(names.ADOPT_LABEL) == "true"
        and (selector is None or (live.get("spec") or {}).get("selector") == selector)
    )
