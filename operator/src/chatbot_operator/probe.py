"""Polls the pods' reports: all of them in one burst a round, in between those of resources that changed.

Those of a resource that is not Ready are polled more often, too, while something is wrong with a pod. A round looks for
those, too, of a resource that had none: an event may have led there before there was enough to find them by. An error that
nobody foresaw stays with the resource whose pods led to it.
"""

import asyncio
import heapq
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from chatbot_operator import errors
from chatbot_operator.cache import Cache, ObjectKey, ResourceKey
from chatbot_operator.endpoints import endpoint_slices, targets
from chatbot_operator.fleet import FleetHealth
from chatbot_operator.liveness import Heartbeats
from chatbot_operator.poll_state import LastReport, PolledPods
from chatbot_operator.queue import on_the_beat
from chatbot_operator.reports import REPORT_PORT, Connections, Target, parse_report
from chatbot_operator.resource import KIND

SETTLE_SECONDS = 0.5
"""From a change of an EndpointSlice to the poll, since changes come in groups."""
RETRY_SECONDS = 5.0
"""Until a pod that did not answer is asked again."""
UNHEARD_SECONDS = 60.0
"""So long what the status says of pods counts that did not report yet: after the start, or after they were first seen."""
HEARTBEAT_SECONDS = 60.0

logger = structlog.get_logger()


class Prober:
    """Keeps the fleet health of every resource that has pods."""

    def __init__(
        self,
        cache: Cache,
        *,
        on_change: Callable[[ResourceKey], None],
        prompt_seconds: Callable[[ResourceKey], float | None] = lambda _key: None,
        heartbeats: Heartbeats | None = None,
        interval_seconds: float = 15,
        timeout_seconds: float = 2,
        concurrency: int = 64,
        port: int = REPORT_PORT,
        beat_seconds: float = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = cache
        self._on_change = on_change
        self._prompt_seconds = prompt_seconds
        self._heartbeats = heartbeats or Heartbeats()
        self._interval_seconds = interval_seconds
        self._connections = Connections(port=port, timeout_seconds=timeout_seconds)
        self._concurrency = concurrency
        self._beat_seconds = beat_seconds
        self._clock = clock
        self._pods: dict[ResourceKey, PolledPods] = {}
        self._plans: list[tuple[float, ResourceKey]] = []
        self._questions: asyncio.Queue[tuple[ResourceKey, PolledPods, Target, LastReport]] = asyncio.Queue()
        self._nudged = asyncio.Event()

    def health(self, key: ResourceKey) -> FleetHealth | None:
        """Return what the pods of the resource last said, or None before the first poll."""
        pods = self._pods.get(key)
        return pods.health if pods else None

    def unheard(self, key: ResourceKey) -> bool:
        """Tell whether there are pods whose report is awaited: until then what the status says of them may be true."""
        pods = self._pods.get(key)
        if pods is None or self._clock() >= pods.awaited_until:
            return False
        return pods.health is not None or bool(targets(endpoint_slices(self._cache, key, owner=pods.uid)))

    def discover(self, key: ResourceKey) -> None:
        """Poll the pods of a resource that is new, if there may be any: their addresses may have been seen before it."""
        known, pods = self._pods.get(key), self._pods_of(key)
        if pods is not None and pods is not known and endpoint_slices(self._cache, key, owner=pods.uid):
            self.nudge(key)

    def nudge(self, key: ResourceKey) -> None:
        """Poll the pods of the resource soon, since they changed; of one that is not known yet, they are discovered with it."""
        pods = self._pods_of(key)
        if pods is None:
            return
        pods.note_change(await_until=self._clock() + UNHEARD_SECONDS)
        self._plan(key, pods, on_the_beat(self._clock() + SETTLE_SECONDS, self._beat_seconds))

    async def run(self) -> None:
        """Poll until cancelled; then nothing is known of any pod."""
        self._forget_all()
        self._await_pods()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency):
                    group.create_task(self._ask(), name="probe")
                await self._schedule()
        finally:
            self._connections.close()
            self._heartbeats.end("prober")
            self._forget_all()

    def _forget_all(self) -> None:
        self._pods.clear()
        self._plans.clear()
        self._questions = asyncio.Queue()

    def _await_pods(self) -> None:
        """Await the reports of the pods that are there at the start."""
        for key in {entry.resource for entry in self._cache.entries("EndpointSlice")}:
            if key and (pods := self._pods_of(key)):
                pods.await_all(self._clock() + UNHEARD_SECONDS)

    async def _schedule(self) -> None:
        round_at = self._clock()
        while True:
            self._heartbeats.promise("prober", self._interval_seconds + HEARTBEAT_SECONDS)
            now = self._clock()
            if now >= round_at:
                round_at = now + self._interval_seconds * random.uniform(0.9, 1.1)  # noqa: S311 (spreads load, guards nothing)
                due = set(self._pods)
                self._connections.keep_only({target.address for pods in self._pods.values() for target in pods.last_reports})
            else:
                due = self._take_due(now)
            for key in due:
                with _contained(key):
                    self._poll(key, now)
            await self._wait(min(round_at, self._plans[0][0]) if self._plans else round_at)

    def _pods_of(self, key: ResourceKey) -> PolledPods | None:
        """Return what is known of the pods of the resource as it is now; forget them when it is gone."""
        resource = self._cache.entry(ObjectKey(KIND, *key))
        if resource is None:
            self._pods.pop(key, None)
            return None
        pods = self._pods.get(key)
        if pods is None or pods.uid != resource.uid:
            pods = self._pods[key] = PolledPods(resource.uid)
        return pods

    def _plan(self, key: ResourceKey, pods: PolledPods, at: float) -> None:
        if pods.plan(at):
            heapq.heappush(self._plans, (at, key))
            self._nudged.set()

    def _take_due(self, now: float) -> set[ResourceKey]:
        due = set()
        while self._plans and self._plans[0][0] <= now:
            at, key = heapq.heappop(self._plans)
            pods = self._pods.get(key)
            if pods is not None and pods.take_due(at):
                due.add(key)
        return due

    async def _wait(self, until: float) -> None:
        self._nudged.clear()
        try:
            async with asyncio.timeout(max(0.0, until - self._clock())):
                await self._nudged.wait()
        except TimeoutError:
            return

    def _poll(self, key: ResourceKey, now: float) -> None:
        """Ask every pod of one resource that it is time to ask, unless some are being asked."""
        pods = self._pods_of(key)
        if pods is None or pods.unanswered:
            return
        if pods.has_changed or not pods.last_reports:
            pods.take_targets(targets(endpoint_slices(self._cache, key, owner=pods.uid)))
        for target, last in pods.begin_poll(now):
            self._questions.put_nowait((key, pods, target, last))
        if not pods.last_reports and pods.health is not None:
            self._publish(key, pods)

    async def _ask(self) -> None:
        """Put one question after the other."""
        while True:
            key, pods, target, last = await self._questions.get()
            try:
                body = await self._connections.fetch(target.address)
                last.answered(body, None if body and body == last.body else parse_report(body, target))
            except (OSError, errors.ReportInvalid) as error:
                logger.debug("no report", pod_uid=target.uid, address=target.address, error=str(error) or type(error).__name__)
                last.missed(self._clock(), interval_seconds=self._interval_seconds)
            except Exception:
                logger.exception("question to a pod failed", namespace=key.namespace, name=key.name, pod_uid=target.uid)
                last.missed(self._clock(), interval_seconds=self._interval_seconds)
            pods.unanswered -= 1
            if not pods.unanswered and self._pods.get(key) is pods:
                with _contained(key):
                    self._publish(key, pods)

    def _publish(self, key: ResourceKey, pods: PolledPods) -> None:
        """Tell what is new, and plan when to ask again."""
        now = self._clock()
        if pods.publish(now):
            self._on_change(key)
        if pods.health and (seconds := self._again_seconds(key, pods, pods.health)) is not None:
            self._plan(key, pods, now + seconds)

    def _again_seconds(self, key: ResourceKey, pods: PolledPods, health: FleetHealth) -> float | None:
        """Return when to ask the pods before the next round, or None."""
        if pods.has_changed:
            return SETTLE_SECONDS
        if any(last.is_due_soon for last in pods.last_reports.values()):
            return min(RETRY_SECONDS, self._interval_seconds)
        seconds = None if health.is_well else self._prompt_seconds(key)
        return None if seconds is None else min(seconds, self._interval_seconds)


@contextmanager
def _contained(key: ResourceKey) -> Iterator[None]:
    """Keep an error that nobody foresaw from ending the polls of all other resources."""
    try:
        yield
    except Exception:
        logger.exception("poll failed", namespace=key.namespace, name=key.name)
