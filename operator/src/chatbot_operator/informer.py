"""List and watch of the objects that the operator owns, by label, into the cache.

Bookmarks keep the version fresh, an expired version leads to a new list, and what a list no longer shows is dropped. The first
lists are complete before anything is reconciled, so a restart sees what exists and writes nothing.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

import structlog

from chatbot_operator import errors, names
from chatbot_operator.cache import Cache
from chatbot_operator.cluster import Cluster
from chatbot_operator.desired import CHILD_KINDS
from chatbot_operator.resource import Manifest

OWNED_KINDS: Final = (*CHILD_KINDS, "EndpointSlice")
"""What carries the operator's label; the EndpointSlice controller copies it from the Service."""

MAX_DELAY_SECONDS = 4.0

logger = structlog.get_logger()


class Informer:
    """Keeps the cache equal to what the API server holds of the owned kinds."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        *,
        on_change: Callable[[Manifest], None],
        namespaces: tuple[str, ...] = (),
        resync_interval_seconds: float = 600,
        watch_timeout_seconds: int = 270,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._on_change = on_change
        self._scopes = [(kind, namespace) for kind in OWNED_KINDS for namespace in (namespaces or (None,))]
        self._resync_interval_seconds = resync_interval_seconds
        self._watch_timeout_seconds = watch_timeout_seconds
        self._sleep = sleep
        self._versions: dict[tuple[str, str | None], str] = {}
        self._unlisted = set(self._scopes)
        self._complete = asyncio.Event()

    @property
    def complete(self) -> bool:
        """Whether every kind was listed once."""
        return self._complete.is_set()

    async def wait_until_complete(self) -> None:
        """Return once every kind was listed."""
        await self._complete.wait()

    async def run(self) -> None:
        """Follow every kind until cancelled."""
        async with asyncio.TaskGroup() as group:
            for kind, namespace in self._scopes:
                group.create_task(self._follow(kind, namespace), name=f"informer {kind}")

    async def _follow(self, kind: str, namespace: str | None) -> None:
        delay_seconds = 0.5
        while True:
            try:
                await self._list_and_watch(kind, namespace)
                delay_seconds = 0.5
            except errors.WatchExpired:
                logger.debug("watch expired, listing again", kind=kind)
            except errors.ClusterUnavailable as error:
                logger.debug("list failed, retrying", kind=kind, error=str(error))
                delay_seconds = await self._pause(delay_seconds)
            except errors.ClusterError as error:
                logger.warning("list refused, retrying", kind=kind, error=str(error))
                delay_seconds = await self._pause(delay_seconds)

    async def _pause(self, seconds: float) -> float:
        await self._sleep(seconds * random.uniform(0.5, 1))  # noqa: S311 (spreads load, guards nothing)
        return min(seconds * 2, MAX_DELAY_SECONDS)

    async def _list_and_watch(self, kind: str, namespace: str | None) -> None:
        """List once, then watch until the resync is due; a watch that breaks is taken up where it was."""
        manifests, version = await self._cluster.list(kind, namespace=namespace, selector=names.OWNED_SELECTOR)
        for manifest in self._cache.replace(kind, manifests, listed_at=int(version), namespace=namespace):
            self._on_change(manifest)
        self._versions[kind, namespace] = version
        self._unlisted.discard((kind, namespace))
        if not self._unlisted:
            self._complete.set()
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

    async def _watch(self, kind: str, namespace: str | None, *, seconds: int) -> None:
        """Feed what happens into the cache."""
        since = self._versions[kind, namespace]
        watch = self._cluster.watch(kind, since=since, timeout_seconds=seconds, namespace=namespace, selector=names.OWNED_SELECTOR)
        async with aclosing(watch) as events:
            async for type_, manifest in events:
                if type_ == "DELETED":
                    if self._cache.forget(manifest):
                        self._on_change(manifest)
                elif type_ != "BOOKMARK" and self._cache.put(manifest):
                    self._on_change(manifest)
                self._versions[kind, namespace] = manifest["metadata"]["resourceVersion"]
