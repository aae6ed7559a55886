"""Wires the parts together and runs them: `chatbot-operator`."""

import asyncio
import gc
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator

import structlog
import uvloop

from chatbot_operator import errors, telemetry
from chatbot_operator.cache import Cache, ResourceKey
from chatbot_operator.cluster import Cluster, load_configuration
from chatbot_operator.events import Recorder
from chatbot_operator.informer import Informer
from chatbot_operator.lease import Elector
from chatbot_operator.liveness import Heartbeats
from chatbot_operator.probe import Prober
from chatbot_operator.queue import BEAT_SECONDS, Queue
from chatbot_operator.reconcile import Reconciler
from chatbot_operator.resource import KIND, Manifest
from chatbot_operator.settings import Settings
from chatbot_operator.triggers import Triggers
from chatbot_operator.watch import Watch
from chatbot_operator.worker import work

STUCK_SECONDS = 300
"""A reconcile that takes longer than this is stuck, since each of its requests has a timeout; so are workers that take no key."""

logger = structlog.get_logger()


class Operator:
    """The running process: what watches also while standing by, and what works only while leading."""

    def __init__(
        self, cluster: Cluster, settings: Settings, metrics: telemetry.Metrics, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._cluster = cluster
        instance = settings.pod_name or socket.gethostname()
        self.elector = Elector(
            cluster,
            identity=f"{instance}_{uuid.uuid4().hex[:8]}",
            namespace=settings.namespace,
            name=settings.lease_name,
            duration_seconds=settings.lease_duration_seconds,
            renew_seconds=settings.lease_renew_seconds,
        )
        if settings.leader_election:
            cluster.may_write = self.elector.leads
        self._heartbeats = Heartbeats(clock=clock)
        self._cache = Cache()
        self._queue: Queue[ResourceKey] = Queue(clock=clock, beat_seconds=BEAT_SECONDS)
        self._triggers = Triggers(
            self._queue,
            nudge=lambda key: self._prober.nudge(key),  # noqa: PLW0108 (made below, and of this)
            discover=lambda key: self._prober.discover(key),  # noqa: PLW0108 (made below, and of this)
            leads=lambda: self._leading,
        )
        self._prober = Prober(
            self._cache,
            on_change=self._triggers.look_soon,
            prompt_seconds=lambda key: self._reconciler.attention_seconds(key),  # noqa: PLW0108 (made below, and of this)
            heartbeats=self._heartbeats,
            interval_seconds=settings.report_interval_seconds,
            timeout_seconds=settings.report_timeout_seconds,
            concurrency=settings.report_concurrency,
            beat_seconds=BEAT_SECONDS,
            clock=clock,
        )
        self._recorder = Recorder(cluster, instance=instance)
        self._reconciler = self._new_reconciler()
        self._informer = Informer(
            cluster,
            self._cache,
            on_change=self._triggers.owned_changed,
            on_served=self._reconcile_all,
            heartbeats=self._heartbeats,
            namespaces=settings.watch_namespaces,
            resync_interval_seconds=settings.resync_interval_seconds,
            watch_timeout_seconds=settings.watch_timeout_seconds,
        )
        self._watch = Watch(
            cluster,
            self._cache,
            on_change=self._triggers.resource_changed,
            on_resync=self._triggers.look_again,
            owned=self._informer.first_lists,
            heartbeats=self._heartbeats,
            namespaces=settings.watch_namespaces,
            resync_interval_seconds=settings.resync_interval_seconds,
            watch_timeout_seconds=settings.watch_timeout_seconds,
            request_timeout_seconds=settings.request_timeout_seconds,
        )
        metrics.watch_queue(self._queue)
        metrics.watch_conditions(self._cache, leads=lambda: self._leading)
        self._note_leadership(leads=False)

    async def run(self, stop: asyncio.Event) -> None:
        """Operate until `stop` is set."""
        self._watch.after_start = lambda: stop_on_signals(stop)  # kopf puts its own signal handlers in place
        await self._cluster.wait_until_reachable()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informer.run(), name="informer")
            await self._informer.first_lists.wait()
            group.create_task(self._watch.run(), name="watch")
            await self._watch.first_lists.wait()
            logger.info("caches complete", resources=len(self._cache.entries(KIND)))
            group.create_task(self._lead(), name="lead")

    def stuck(self) -> Iterator[str]:
        """Name what no longer moves."""
        yield from self._heartbeats.missed()
        if (longest := max(self._queue.work_seconds(), default=0)) > STUCK_SECONDS:
            yield f"a reconcile has been running for {longest:.0f} s"
        if self._leading and (neglected := self._queue.neglected_seconds()) > STUCK_SECONDS:
            yield f"no key has been taken from the queue for {neglected:.0f} s"

    def unready(self) -> Iterator[str]:
        """Name what was not listed yet."""
        if not self._informer.first_lists.complete:
            yield "the owned objects are not listed yet"
        if not self._watch.first_lists.complete:
            yield f"the {KIND}s are not listed yet"

    def _new_reconciler(self) -> Reconciler:
        return Reconciler(
            self._cluster,
            self._cache,
            health=self._prober.health,
            unheard=self._prober.unheard,
            unserved=lambda: self._informer.unserved,
            recorder=self._recorder,
            settings=self._settings,
        )

    def _reconcile_all(self) -> None:
        for entry in self._cache.entries(KIND):
            self._triggers.look_again(ResourceKey(entry.key.namespace, entry.key.name))

    async def _lead(self) -> None:
        """Work for as long as this process leads, and stand by otherwise."""
        while True:
            if self._settings.leader_election:
                await self.elector.acquire()
            self._begin_term()
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._prober.run(), name="probe")  # first: no pass may go by what the pods said in an earlier term
                    for _ in range(self._settings.workers):
                        group.create_task(work(self._queue, self._reconciler, observe=self._metrics.observe_reconcile))
                    if self._settings.leader_election:
                        group.create_task(self.elector.hold(), name="lease")
            except* errors.LeadershipLost as lost:
                logger.warning("leadership lost, standing by", error=str(lost.exceptions[0]))
            self._end_term()

    def _begin_term(self) -> None:
        """Lead, and look at everything: first at what nobody acted upon, in a moment at the rest, with what its pods say until then."""
        self._note_leadership(leads=True)
        for entry in self._cache.entries(KIND):
            look = self._triggers.look_again if _is_new_to_all(entry.manifest()) else self._triggers.look_soon
            look(ResourceKey(entry.key.namespace, entry.key.name))

    def _end_term(self) -> None:
        """Stand by, and forget the resources, which come and go while another process leads; the next term begins as after a start."""
        self._note_leadership(leads=False)
        self._queue.clear()
        self._reconciler = self._new_reconciler()

    def _note_leadership(self, *, leads: bool) -> None:
        self._leading = leads
        self._metrics.observe_leadership(self._settings.lease_name, leads=leads)


def _is_new_to_all(resource: Manifest) -> bool:
    """Tell whether no operator has acted upon this generation of a resource."""
    return bool((resource.get("status") or {}).get("observedGeneration") != resource["metadata"]["generation"])


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` at SIGTERM and SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def run(settings: Settings) -> None:
    """Run the operator until a signal ends it."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    configuration = await load_configuration()
    cluster = Cluster(configuration, request_timeout_seconds=settings.request_timeout_seconds)
    metrics = telemetry.Metrics(host=cluster.host, workers=settings.workers)
    cluster.on_answer = metrics.observe_request
    operator = Operator(cluster, settings, metrics)
    runner = await telemetry.serve(metrics, host=settings.http_host, port=settings.http_port, live=operator.stuck, ready=operator.unready)
    logger.info("operator started", version=settings.operator_version, server=cluster.host, pid=os.getpid())
    work_task = asyncio.create_task(operator.run(stop), name="operator")
    stop_task = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait({work_task, stop_task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        logger.info("operator stopping")
        for task in (work_task, stop_task):
            task.cancel()
        await asyncio.wait({work_task, stop_task})
        await operator.elector.release()
        await runner.cleanup()
        await cluster.close()
    if not work_task.cancelled():
        work_task.result()


def _leave_modules_to_the_end() -> None:
    """Keep the collector off what the imports have left, which stays; it would go through all of it for garbage of a few objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


def main() -> None:
    """Run the operator; exit 0 after a signal, 2 when the settings are wrong, 1 when something breaks."""
    try:
        settings = Settings.from_environment()
        telemetry.configure_logs(level=settings.log_level, format_=settings.log_format)
        _leave_modules_to_the_end()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings))
    except errors.SettingsInvalid as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    except OSError as error:
        sys.stderr.write(f"chatbot-operator: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
