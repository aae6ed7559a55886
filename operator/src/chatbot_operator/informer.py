"""List and watch of the objects that the operator owns, by label, into the cache.

Bookmarks keep the version fresh, an expired version leads to a new list, and what a list no longer shows is dropped. The first
lists are complete before anything is reconciled, so a restart sees what exists and writes nothing. Kinds that not every cluster
has are followed where the API server serves them, which is asked again at every resync.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final, NamedTuple

import structlog

from chatbot_operator import errors, names
from chatbot_operator.cache import Cache, Entry, News, ObjectKey, ResourceKey, resource_key
from chatbot_operator.cluster import Cluster
from chatbot_operator.desired import CHILD_KINDS
from chatbot_operator.first_lists import FirstLists
from chatbot_operator.liveness import Heartbeats

OPTIONAL_KINDS: Final = tuple(kind for kind in ("PodMonitor",) if kind in CHILD_KINDS)
"""What only some clusters have: a kind of somebody else's CRD."""

OWNED_KINDS: Final = (*(kind for kind in CHILD_KINDS if kind not in OPTIONAL_KINDS), "EndpointSlice")
"""What carries the operator's label; the EndpointSlice controller copies it from the Service."""

PAUSE_SECONDS: Final = 0.5
"""Between two reads of what a rollout makes many of: one by one they cost twice as much. A deleted Deployment comes back so much later."""
_MANY: Final = frozenset({"Deployment", "EndpointSlice"})

MAX_DELAY_SECONDS = 4.0
SHORT_WATCH_SECONDS = 0.9
"""Less than the shortest watch that is asked for, 1 s."""
HEARTBEAT_SECONDS = 300.0
"""Longer than a list of many pages, and than a watch without a bookmark may be silent."""

logger = structlog.get_logger()


class Change(NamedTuple):
    """What happened to an object, and whose it is."""

    key: ObjectKey
    resource: ResourceKey | None
    news: News


class Informer:
    """Keeps the cache equal to what the API server holds of the owned kinds."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        *,
        on_change: Callable[[Change], None],
        on_served: Callable[[], None] = lambda: None,
        heartbeats: Heartbeats | None = None,
        namespaces: tuple[str, ...] = (),
        resync_interval_seconds: float = 600,
        watch_timeout_seconds: int = 270,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._on_change = on_change
        self._on_served = on_served
        self._heartbeats = heartbeats or Heartbeats()
        self._namespaces: tuple[str | None, ...] = namespaces or (None,)
        self._resync_interval_seconds = resync_interval_seconds
        self._watch_timeout_seconds = watch_timeout_seconds
        self._sleep = sleep
        self._versions: dict[tuple[str, str | None], str] = {}
        self.first_lists: Final = FirstLists((*OWNED_KINDS, *OPTIONAL_KINDS), self._namespaces)
        self._unserved = {(kind, namespace) for kind in OPTIONAL_KINDS for namespace in self._namespaces}

    @property
    def unserved(self) -> frozenset[str]:
        """The kinds that this cluster does not have (now), in no namespace."""
        return frozenset(kind for kind in OPTIONAL_KINDS if all((kind, namespace) in self._unserved for namespace in self._namespaces))

    async def run(self) -> None:
        """Follow every kind until cancelled."""
        async with asyncio.TaskGroup() as group:
            for namespace in self._namespaces:
                for kind in OWNED_KINDS:
                    group.create_task(self._follow(kind, namespace), name=f"informer {kind}")
                for kind in OPTIONAL_KINDS:
                    group.create_task(self._follow_where_served(kind, namespace), name=f"informer {kind}")

    async def _follow_where_served(self, kind: str, namespace: str | None) -> None:
        delay_seconds = 0.5
        while True:
            try:
                served = await self._cluster.serves(kind)
            except errors.ClusterError as error:
                logger.debug("discovery failed, retrying", kind=kind, error=str(error))
                delay_seconds = await self._pause(delay_seconds)
                continue
            if served:
                await self._follow_until_gone(kind, namespace)
            self.first_lists.succeeded(kind, namespace)
            await self._sleep(self._resync_interval_seconds)

    async def _follow_until_gone(self, kind: str, namespace: str | None) -> None:
        """Follow an optional kind until it is not served, or not granted, any more."""
        try:
            await self._follow(kind, namespace)
        except (errors.ObjectNotFound, errors.AccessDenied) as gone:
            logger.info("optional kind is not available", kind=kind, error=str(gone))
        self._unserved.add((kind, namespace))
        self._heartbeats.end(_loop(kind, namespace))
        self._cache.replace(kind, (), listed_at=max((e.version for e in self._cache.entries(kind)), default=0), namespace=namespace)

    async def _follow(self, kind: str, namespace: str | None) -> None:
        delay_seconds = 0.5
        while True:
            try:
                await self._list_and_watch(kind, namespace)
                delay_seconds = 0.5
            except errors.WatchExpired:
                logger.debug("watch expired, listing again", kind=kind)
            except errors.ClusterError as error:
                if kind in OPTIONAL_KINDS and isinstance(error, errors.ObjectNotFound | errors.AccessDenied):
                    raise
                log = logger.warning if self.first_lists.failed(kind, namespace, error) else logger.debug
                log("list failed, retrying", kind=kind, error=str(error))
                at_most = self.first_lists.longest_pause_seconds(error, otherwise=MAX_DELAY_SECONDS)
                delay_seconds = await self._pause(delay_seconds, at_most=at_most)

    async def _pause(self, seconds: float, *, at_most: float = MAX_DELAY_SECONDS) -> float:
        await self._sleep(seconds * random.uniform(0.5, 1))  # noqa: S311 (spreads load, guards nothing)
        return min(seconds * 2, at_most)

    async def _pause_for_more(self) -> None:
        await self._sleep(PAUSE_SECONDS)

    async def _list_and_watch(self, kind: str, namespace: str | None) -> None:
        """List once, then watch until the resync is due; a watch that breaks is taken up where it was."""
        await self._list(kind, namespace)
        loop = asyncio.get_running_loop()
        resync_at = loop.time() + self._resync_interval_seconds * random.uniform(0.9, 1.1)  # noqa: S311
        delay_seconds = 0.1
        while (left := resync_at - loop.time()) > 0:
            version = self._versions[kind, namespace]
            try:
                await self._watch(kind, namespace, seconds=min(self._watch_timeout_seconds, int(left) + 1))
            except errors.ClusterUnavailable as error:
                logger.debug("watch broke, watching again", kind=kind, error=str(error))
                delay_seconds = await self._pause(delay_seconds)
            if version != self._versions[kind, namespace]:
                delay_seconds = 0.1

    async def _list(self, kind: str, namespace: str | None) -> None:
        self._heartbeats.promise(_loop(kind, namespace), HEARTBEAT_SECONDS)
        listed: list[Entry] = []
        version = "0"
        async for page in self._cluster.pages(kind, namespace=namespace, selector=names.OWNED_SELECTOR):
            listed += map(Entry.of, page.items)
            version = page.version
        for entry in self._cache.replace(kind, listed, listed_at=int(version), namespace=namespace):
            self._on_change(Change(entry.key, entry.resource, News.INTENT))
        self._versions[kind, namespace] = version
        self.first_lists.succeeded(kind, namespace)
        if (kind, namespace) in self._unserved:
            self._unserved.discard((kind, namespace))
            self._on_served()

    async def _watch(self, kind: str, namespace: str | None, *, seconds: int) -> None:
        """Feed what happens into the cache; a watch that ends at once without an event is as good as refused (as client-go has it)."""
        since, began_at = self._versions[kind, namespace], asyncio.get_running_loop().time()
        watch = self._cluster.watch(
            kind,
            since=since,
            timeout_seconds=seconds,
            namespace=namespace,
            selector=names.OWNED_SELECTOR,
            pause=self._pause_for_more if kind in _MANY else None,
        )
        self._heartbeats.promise(_loop(kind, namespace), HEARTBEAT_SECONDS)
        async with aclosing(watch) as events:
            async for type_, manifest in events:
                if type_ == "BOOKMARK":
                    self._heartbeats.promise(_loop(kind, namespace), HEARTBEAT_SECONDS)
                elif news := self._cache.forget(manifest) if type_ == "DELETED" else self._cache.put(manifest):
                    self._on_change(Change(ObjectKey.of(manifest), resource_key(manifest), news))
                self._versions[kind, namespace] = manifest["metadata"]["resourceVersion"]
        if self._versions[kind, namespace] == since and asyncio.get_running_loop().time() - began_at < SHORT_WATCH_SECONDS:
            raise errors.ClusterUnavailable(f"watch {kind}: ended at once without an event")


def _loop(kind: str, namespace: str | None) -> str:
    return f"informer {kind}" + (f" in {namespace}" if namespace else "")
