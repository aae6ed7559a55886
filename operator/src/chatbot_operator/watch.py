"""Runs kopf, which does one thing here: watch the ChatbotDeployments.

The handler stores what it sees and enqueues its key; nothing that kopf does writes to the cluster. Each namespace has a kopf of its own,
so that one which cannot be watched takes no other one along, and is listed after the children of its resources. A supervisor starts it
again whenever it ends, which it does on watch errors other than 410, or begins no watch in time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import kopf
import structlog

from chatbot_operator import errors
from chatbot_operator.cache import Cache, Entry, News, ObjectKey, ResourceKey
from chatbot_operator.cluster import Cluster
from chatbot_operator.first_lists import FirstLists
from chatbot_operator.kopf_options import EVERY_TASK, connection_info, watching_alone
from chatbot_operator.liveness import Heartbeats
from chatbot_operator.resource import GROUP, KIND, PLURAL, VERSION, Manifest

RESTART_SECONDS = 2.0
DISCOVERY_SECONDS = 30.0
"""Within which kopf finds the kind and begins to list it. Did discovery not show it yet, kopf would wait for ever, and say nothing."""
MAX_DELAY_SECONDS = 15.0
HEARTBEAT_SECONDS = 300.0
"""Longer than a list of many pages takes, or fails."""

logger = structlog.get_logger()


def _resource(key: ObjectKey) -> ResourceKey:
    return ResourceKey(key.namespace, key.name)


class Watch:
    """Keeps the cache equal to what the API server holds of the ChatbotDeployments."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        *,
        on_change: Callable[[ResourceKey, News], None],
        on_resync: Callable[[ResourceKey], None],
        owned: FirstLists | None = None,
        after_start: Callable[[], None] = lambda: None,
        heartbeats: Heartbeats | None = None,
        namespaces: tuple[str, ...] = (),
        resync_interval_seconds: float = 600,
        watch_timeout_seconds: int = 270,
        request_timeout_seconds: float = 20,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._on_change = on_change
        self._on_resync = on_resync
        self.after_start = after_start
        self._heartbeats = heartbeats or Heartbeats()
        self._namespaces: tuple[str | None, ...] = namespaces or (None,)
        self._resync_interval_seconds = resync_interval_seconds
        self._watch_timeout_seconds = watch_timeout_seconds
        self._request_timeout_seconds = request_timeout_seconds
        self._sleep = sleep
        self._owned = owned
        self.first_lists: Final = FirstLists((KIND,), self._namespaces)

    async def run(self) -> None:
        """List now and then, and watch in between, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for namespace in self._namespaces:
                group.create_task(self._follow(namespace), name="watch")

    async def _follow(self, namespace: str | None) -> None:
        await self._wait_for_owned(namespace)
        await self._list_at_last(namespace)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._resync(namespace), name="resync")
            group.create_task(self._supervise(namespace), name="watch")

    async def _wait_for_owned(self, namespace: str | None) -> None:
        """Return once what the resources own was listed, before which all of it would be taken for missing."""
        if self._owned is not None and not self._owned.has(namespace):
            self.first_lists.spare(KIND, namespace)
            logger.warning("no resource is looked after until all kinds can be listed", namespace=namespace)
            await self._owned.wait_for(namespace)
            logger.info("all kinds were listed", namespace=namespace)

    def _see(self, type_: str | None, manifest: Manifest) -> None:
        manifest["metadata"].pop("managedFields", None)
        news = self._cache.forget(manifest) if type_ == "DELETED" else self._cache.put(manifest)
        if news:
            self._on_change(ResourceKey.of(manifest), news)

    async def _resync(self, namespace: str | None) -> None:
        """List everything now and then: kopf never says that an object vanished while it was not watching."""
        while True:
            await self._sleep(self._resync_interval_seconds)
            await self._list_at_last(namespace)

    async def _list_at_last(self, namespace: str | None) -> None:
        """List, and try until it succeeds."""
        delay_seconds = 1.0
        while True:
            self._heartbeats.promise(_loop(namespace), HEARTBEAT_SECONDS)
            try:
                await self._list(namespace)
            except errors.ClusterError as error:
                log = logger.warning if self.first_lists.failed(KIND, namespace, error) else logger.debug
                hint = " (is the CRD installed?)" if isinstance(error, errors.ObjectNotFound) else ""
                log("list of chatbotdeployments failed, retrying", error=f"{error}".strip() + hint, retry_in_seconds=delay_seconds)
                await self._sleep(delay_seconds)
                delay_seconds = min(delay_seconds * 2, self.first_lists.longest_pause_seconds(error, otherwise=MAX_DELAY_SECONDS))
            else:
                self.first_lists.succeeded(KIND, namespace)
                self._heartbeats.promise(_loop(namespace), self._resync_interval_seconds + HEARTBEAT_SECONDS)
                return

    async def _list(self, namespace: str | None) -> None:
        listed: list[Entry] = []
        version = "0"
        async for page in self._cluster.pages(KIND, namespace=namespace):
            listed += map(Entry.of, page.items)
            version = page.version
        for entry in self._cache.replace(KIND, listed, listed_at=int(version), namespace=namespace):
            self._on_change(_resource(entry.key), News.INTENT)
        for entry in listed:
            self._on_resync(_resource(entry.key))

    async def _supervise(self, namespace: str | None) -> None:
        """Have kopf watch, and start it again whenever it ends: once a list succeeds, which also shows what vanished meanwhile."""
        while True:
            try:
                await self._watch(namespace)
            except Exception as error:  # noqa: BLE001 (whatever ends kopf, it is started again)
                why = {"error": str(error) or "no watch was begun in time", "error_type": type(error).__name__}
                logger.warning("watch of chatbotdeployments ended, starting it again", namespace=namespace, **why)
            await self._sleep(RESTART_SECONDS)
            await self._list_at_last(namespace)

    async def _watch(self, namespace: str | None) -> None:
        """Run kopf until it ends, or has begun neither a list nor a watch for too long, which raises TimeoutError."""
        registry = kopf.OperatorRegistry()
        settings = watching_alone(watch_timeout_seconds=self._watch_timeout_seconds, request_timeout_seconds=self._request_timeout_seconds)

        @kopf.on.login(registry=registry)
        async def login(**_: Any) -> kopf.ConnectionInfo:
            return connection_info(await self._cluster.connection())

        @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
        async def seen(event: Any, **_: Any) -> None:
            self._see(event["type"], event["object"])

        async with asyncio.timeout(DISCOVERY_SECONDS) as patience:

            def begun(_: kopf.Resource) -> bool:
                """Select nothing: kopf asks for the selectors of a resource whenever it begins to list or to watch it."""
                if not patience.expired():
                    patience.reschedule(asyncio.get_running_loop().time() + self._watch_timeout_seconds + HEARTBEAT_SECONDS)
                return False

            settings.watching.label_selectors[begun] = ""
            tasks = await kopf.spawn_tasks(
                registry=registry,
                settings=settings,
                standalone=True,
                clusterwide=namespace is None,
                namespaces=() if namespace is None else (namespace,),
            )
            self.after_start()
            await kopf.run_tasks(tasks, ignored=EVERY_TASK)


def _loop(namespace: str | None) -> str:
    return "list of chatbotdeployments" + (f" in {namespace}" if namespace else "")
