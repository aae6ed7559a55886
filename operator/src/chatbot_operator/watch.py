"""The only module that imports kopf, which does one thing here: watch the ChatbotDeployments.

The handler stores what it sees and enqueues its key. Every feature of kopf that would write to the cluster is off: no handlers with
state, no finalizers, no annotations, no Events, no peering. A supervisor starts kopf again whenever it ends, which it does on
watch errors other than 410.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import kopf
import structlog

from chatbot_operator import errors
from chatbot_operator.cache import Cache, Entry, News, ObjectKey, ResourceKey
from chatbot_operator.cluster import PAGE_SIZE, Cluster, Connection
from chatbot_operator.liveness import Heartbeats
from chatbot_operator.resource import GROUP, KIND, PLURAL, VERSION, Manifest

TOKEN_SECONDS = 300
RESTART_SECONDS = 2.0
WORKER_SECONDS = 0.05
"""For which kopf keeps a task and the last event of each object; after a list, of all that there are."""
HEARTBEAT_SECONDS = 300.0
"""Longer than a list of many pages takes, or fails."""

logger = structlog.get_logger()


class EndlessBackoff:
    """Delays in seconds, without end, and from the start for every request; kopf gives up when they run out."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1, 2)
        while True:
            yield 4


class _NoDiffBase(kopf.DiffBaseStorage):
    """Remembers no last-handled state: nothing here looks at differences, and making it costs a fifth of kopf's CPU."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        return


class _NoProgress(kopf.ProgressStorage):
    """Remembers no handler's progress: there are no handlers with progress."""

    def fetch(self, *, key: Any, body: kopf.Body) -> None:
        return None

    def store(self, *, key: Any, record: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        return

    def purge(self, *, key: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        return

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        return

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


class _EveryTask(Collection[Any]):
    """What kopf must not touch when it ends: by itself it cancels every task of the loop that is younger than it."""

    def __contains__(self, _task: object) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _login(connection: Connection) -> kopf.ConnectionInfo:
    return kopf.ConnectionInfo(
        server=connection.server,
        ca_path=connection.ca_file,
        certificate_path=connection.certificate_file,
        private_key_path=connection.private_key_file,
        token=connection.token,
        proxy_url=connection.proxy,
        insecure=connection.insecure,
        expiration=datetime.now(UTC) + timedelta(seconds=TOKEN_SECONDS),
    )


def _settings(*, watch_timeout_seconds: int, request_timeout_seconds: float) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.watching.server_timeout = watch_timeout_seconds
    settings.watching.client_timeout = watch_timeout_seconds + 30
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = PAGE_SIZE
    settings.queueing.idle_timeout = WORKER_SECONDS
    settings.networking.request_timeout = request_timeout_seconds
    settings.networking.error_backoffs = EndlessBackoff()  # re-iterable, but without a length on purpose
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    settings.process.ultimate_exiting_timeout = None
    return settings


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
        self._namespaces = namespaces
        self._resync_interval_seconds = resync_interval_seconds
        self._watch_timeout_seconds = watch_timeout_seconds
        self._request_timeout_seconds = request_timeout_seconds
        self._sleep = sleep
        self._listed = asyncio.Event()

    @property
    def complete(self) -> bool:
        """Whether the resources were listed once."""
        return self._listed.is_set()

    async def wait_until_complete(self) -> None:
        """Return once the resources were listed."""
        await self._listed.wait()

    async def run(self) -> None:
        """List now and then, and watch in between, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._resync(), name="resync")
            group.create_task(self._supervise(), name="watch")

    def _see(self, type_: str | None, manifest: Manifest) -> None:
        manifest["metadata"].pop("managedFields", None)
        news = self._cache.forget(manifest) if type_ == "DELETED" else self._cache.put(manifest)
        if news:
            self._on_change(ResourceKey.of(manifest), news)

    async def _resync(self) -> None:
        """List everything now and then: kopf never says that an object vanished while it was not watching."""
        delay_seconds = 1.0
        while True:
            self._heartbeats.promise("list of chatbotdeployments", HEARTBEAT_SECONDS)
            try:
                await self._list()
            except errors.ClusterError as error:
                log = logger.debug if isinstance(error, errors.ClusterUnavailable) else logger.warning
                hint = " (is the CRD installed?)" if isinstance(error, errors.ObjectNotFound) else ""
                log("list of chatbotdeployments failed, retrying", error=f"{error}{hint}".strip(), retry_in_seconds=delay_seconds)
                await self._sleep(delay_seconds)
                delay_seconds = min(delay_seconds * 2, 15)
            else:
                delay_seconds = 1.0
                self._listed.set()
                self._heartbeats.promise("list of chatbotdeployments", self._resync_interval_seconds + HEARTBEAT_SECONDS)
                await self._sleep(self._resync_interval_seconds)

    async def _list(self) -> None:
        for namespace in self._namespaces or (None,):
            listed: list[Entry] = []
            version = "0"
            async for page in self._cluster.pages(KIND, namespace=namespace):
                listed += map(Entry.of, page.items)
                version = page.version
            for entry in self._cache.replace(KIND, listed, listed_at=int(version), namespace=namespace):
                self._on_change(_resource(entry.key), News.INTENT)
            for entry in listed:
                self._on_resync(_resource(entry.key))

    async def _supervise(self) -> None:
        await self._listed.wait()  # the CRD is there; kopf looks for it only once
        while True:
            try:
                await self._watch()
            except Exception as error:  # noqa: BLE001 (whatever ends kopf, it is started again)
                logger.warning("watch of chatbotdeployments ended, starting it again", error=str(error), error_type=type(error).__name__)
            await self._sleep(RESTART_SECONDS)

    async def _watch(self) -> None:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def login(**_: Any) -> kopf.ConnectionInfo:
            return _login(await self._cluster.connection())

        @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
        async def seen(event: Any, **_: Any) -> None:
            self._see(event["type"], event["object"])

        tasks = await kopf.spawn_tasks(
            registry=registry,
            settings=_settings(watch_timeout_seconds=self._watch_timeout_seconds, request_timeout_seconds=self._request_timeout_seconds),
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
        )
        self.after_start()
        await kopf.run_tasks(tasks, ignored=_EveryTask())
