"""Polls the pods' reports: all of them in one burst a round, in between those of resources that changed.

Those of a resource that is not Ready are polled more often, too, while something is wrong with a pod.
A pod that does not answer keeps its last word for two polls more, then it has none and is asked less and less often.
"""

import asyncio
import heapq
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from chatbot_operator import errors, fleet, names
from chatbot_operator.cache import Cache, ObjectKey, ResourceKey
from chatbot_operator.fleet import Figures, FleetHealth
from chatbot_operator.liveness import Heartbeats
from chatbot_operator.pod_report import PodReport
from chatbot_operator.queue import on_the_beat
from chatbot_operator.reporting import FIGURES_SECONDS
from chatbot_operator.reports import REPORT_PORT, Connections, Target, parse_report
from chatbot_operator.resource import KIND, Manifest

SETTLE_SECONDS = 0.5
"""From a change of an EndpointSlice to the poll, since changes come in groups."""
RETRY_SECONDS = 5.0
"""Until a pod that did not answer is asked again."""
GIVEN_UP_MISSES = 3
MAX_SILENCE_ROUNDS = 8
"""Rounds at most between two questions to a pod that does not answer."""
UNHEARD_SECONDS = 60.0
"""So long what the status says of pods counts that were not heard yet: after the start, or after they were first seen."""
HEARTBEAT_SECONDS = 60.0

logger = structlog.get_logger()


def targets(endpoint_slices: Iterable[Manifest]) -> tuple[Target, ...]:
    """Return the pods behind `endpoint_slices`: unready ones too, terminating ones not, each pod once."""
    found: dict[str, Target] = {}
    for endpoint_slice in endpoint_slices:
        for endpoint in endpoint_slice.get("endpoints") or ():
            uid = (endpoint.get("targetRef") or {}).get("uid")
            if uid and endpoint.get("addresses") and not (endpoint.get("conditions") or {}).get("terminating"):
                found.setdefault(uid, Target(uid, endpoint["addresses"][0]))
    return tuple(found.values())


def endpoint_slices(cache: Cache, key: ResourceKey) -> tuple[Manifest, ...]:
    """Return the slices of the Service of the resource."""
    service = cache.entry(ObjectKey("Service", key.namespace, names.service(key.name)))
    if service is None:
        return ()
    return tuple(child.manifest() for child in cache.children(service.uid) if child.key.kind == "EndpointSlice")


@dataclass(slots=True)
class _Word:
    """What a pod said last, and how often it has not answered since."""

    body: bytes = b""
    report: PodReport | None = None
    misses: int = 0
    ask_at: float = 0.0

    @property
    def is_final(self) -> bool:
        """Whether the pod was heard, or is not waited for any more."""
        return bool(self.body) or self.misses >= GIVEN_UP_MISSES


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
        self._words: dict[ResourceKey, dict[Target, _Word]] = {}
        self._health: dict[ResourceKey, FleetHealth] = {}
        self._told: dict[ResourceKey, tuple[float, Figures]] = {}
        self._changed: set[ResourceKey] = set()
        self._unheard: set[ResourceKey] = set()
        self._unheard_until = 0.0
        self._due: dict[ResourceKey, float] = {}
        self._plans: list[tuple[float, ResourceKey]] = []
        self._open: dict[ResourceKey, int] = {}
        self._questions: asyncio.Queue[tuple[ResourceKey, Target, _Word]] = asyncio.Queue()
        self._nudged = asyncio.Event()

    def health(self, key: ResourceKey) -> FleetHealth | None:
        """Return what the pods of the resource last said, or None before the first poll."""
        return self._health.get(key)

    def unheard(self, key: ResourceKey) -> bool:
        """Tell whether pods that were there at the start were not heard yet, nor given up: what the status says may still be true."""
        return key in self._unheard and self._clock() < self._unheard_until

    def nudge(self, key: ResourceKey) -> None:
        """Poll the pods of the resource soon: they changed, or were never asked."""
        self._changed.add(key)
        self._plan(key, on_the_beat(self._clock() + SETTLE_SECONDS, self._beat_seconds))

    async def run(self) -> None:
        """Poll until cancelled; what was heard in an earlier run counts no more."""
        self._start_over()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency):
                    group.create_task(self._ask(), name="probe")
                await self._schedule()
        finally:
            self._connections.close()
            self._heartbeats.end("prober")

    def _start_over(self) -> None:
        for known in (self._words, self._health, self._told, self._due, self._open):
            known.clear()
        self._plans.clear()
        self._questions = asyncio.Queue()
        self._changed = {entry.resource for entry in self._cache.entries("EndpointSlice") if entry.resource}
        self._unheard = set(self._changed)
        self._unheard_until = self._clock() + UNHEARD_SECONDS

    async def _schedule(self) -> None:
        round_at = self._clock()
        while True:
            self._heartbeats.promise("prober", self._interval_seconds + HEARTBEAT_SECONDS)
            now = self._clock()
            if now >= round_at:
                round_at = now + self._interval_seconds * random.uniform(0.9, 1.1)  # noqa: S311 (spreads load, guards nothing)
                due = self._words.keys() | self._changed
                self._connections.keep_only({pod.address for words in self._words.values() for pod in words})
            else:
                due = self._take_due(now)
            for key in due - self._open.keys():
                self._poll(key, now)
            await self._wait(min(round_at, self._plans[0][0]) if self._plans else round_at)

    def _plan(self, key: ResourceKey, at: float) -> None:
        if at < self._due.get(key, float("inf")):
            self._due[key] = at
            heapq.heappush(self._plans, (at, key))
            self._nudged.set()

    def _take_due(self, now: float) -> set[ResourceKey]:
        due = set()
        while self._plans and self._plans[0][0] <= now:
            at, key = heapq.heappop(self._plans)
            if self._due.get(key) == at:
                del self._due[key]
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
        """Ask every pod of one resource that it is time to ask."""
        if self._cache.entry(ObjectKey(KIND, *key)) is None:
            self._forget(key)
            return
        if key in self._changed:
            self._changed.discard(key)
            self._take_targets(key)
        words = self._words.get(key, {})
        questions = [(key, pod, word) for pod, word in words.items() if word.ask_at <= now]
        if not questions:
            if not words and key in self._health:
                self._judge(key)
            return
        self._open[key] = len(questions)
        for question in questions:
            self._questions.put_nowait(question)

    def _take_targets(self, key: ResourceKey) -> None:
        """Take over the pods that the EndpointSlices show; a change is a reason to ask those at once that did not answer."""
        known = self._words.get(key, {})
        words = {pod: known.get(pod) or _Word() for pod in targets(endpoint_slices(self._cache, key))}
        for word in words.values():
            word.ask_at = 0.0
        if words or key in self._health:
            self._words[key] = words

    def _forget(self, key: ResourceKey) -> None:
        self._changed.discard(key)
        for known in (self._words, self._health, self._told, self._due):
            known.pop(key, None)

    async def _ask(self) -> None:
        """Put one question after the other."""
        while True:
            key, pod, word = await self._questions.get()
            try:
                body = await self._connections.fetch(pod.address)
                report = None if body == word.body else parse_report(body, pod)
            except (OSError, errors.ReportInvalid) as error:
                logger.debug("no report", pod_uid=pod.uid, address=pod.address, error=str(error) or type(error).__name__)
                self._missed(word)
            else:
                word.body, word.report, word.misses = body, report, 0
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]
                self._judge(key)

    def _missed(self, word: _Word) -> None:
        word.misses += 1
        if word.misses >= GIVEN_UP_MISSES:
            word.body, word.report = b"", None
            rounds = min(MAX_SILENCE_ROUNDS, 2 ** (word.misses - GIVEN_UP_MISSES))
            word.ask_at = self._clock() + (rounds - 0.5) * self._interval_seconds

    def _judge(self, key: ResourceKey) -> None:
        """Merge what the pods of a resource said, tell what is new, and plan the next questions."""
        words = self._words.get(key)
        if words is None:
            return  # the resource went while its pods were asked
        if all(word.is_final for word in words.values()):
            self._unheard.discard(key)
        known = self._health.get(key)
        if known is None or known.expected != len(words) or any(word.report or not word.body for word in words.values()):
            self._store(key, words)
        self._tell(key, known)
        if key in self._changed:
            self._plan(key, self._clock() + SETTLE_SECONDS)
        elif not words:
            self._words.pop(key, None)
        elif any(0 < word.misses < GIVEN_UP_MISSES for word in words.values()):
            self._plan(key, self._clock() + min(RETRY_SECONDS, self._interval_seconds))
        elif not self._health[key].is_well and (seconds := self._prompt_seconds(key)) is not None:
            self._plan(key, self._clock() + min(seconds, self._interval_seconds))

    def _store(self, key: ResourceKey, words: dict[Target, _Word]) -> None:
        reports = [word.report or PodReport.parse(word.body) for word in words.values() if word.body]
        for word in words.values():
            word.report = None  # three times the memory of what it was read from
        self._health[key] = fleet.merge(reports, expected=len(words), before=self._health.get(key))

    def _tell(self, key: ResourceKey, known: FleetHealth | None) -> None:
        """Tell of another health than the `known` one at once, and once a minute of figures, which change with every request."""
        health, now = self._health[key], self._clock()
        told_at, told = self._told.get(key, (0.0, None))
        if known is None or health != known or (health.figures != told and now - told_at >= FIGURES_SECONDS):
            self._told[key] = (now, health.figures)
            self._on_change(key)
