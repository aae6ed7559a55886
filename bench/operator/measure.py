"""One candidate through every phase, with one number of resources."""

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path

from bench.operator.api import Refused
from bench.operator.arena import ACCOUNT, PODS_PER_RESOURCE, Arena
from bench.operator.audit import Request
from bench.operator.candidates import OPERATOR, Candidate, Place
from bench.operator.figures import Figure, Measured, Verb, percentile
from bench.operator.paths import CHILDREN, DEPLOYMENTS, resource_name
from bench.service.processes import Ended, Program, running
from devcluster.processes import wait_until

PORT = 18080
POLL_SECONDS = 15
"""As installed."""
SELDOM_SECONDS = 600
OFTEN_SECONDS = 10
QUIET_SHARE = 0.02
QUIET_SECONDS_A_POLL = 0.00025
"""Whoever uses less of a core than this, beside so much for each report (the most that anybody took), has nothing left to do."""
START_SECONDS = 60.0
RESTORE_SECONDS = 30.0
MOST_ON_THEIR_WAY = 80
"""Resources that are not Ready yet, before more are created. While the control plane follows, no candidate has so many: all have the same
pace. Behind its queue, minutes long at a fixed pace, each would cost the candidate more for every minute that it waits."""
OTHERS_IDLE_SECONDS = 10.0
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Extent:
    """How much is done, and for how long it is watched."""

    samples: int
    creations_per_second: float
    changes_per_second: float
    deletions_per_second: float
    idle_seconds: float
    poll_seconds: float
    quiet_seconds: float
    """Whoever does nothing for so long has nothing left to do: longer, but in a trial, than the operator waits to look at what happened."""


SHORT = Extent(
    samples=45, creations_per_second=8, changes_per_second=3, deletions_per_second=20, idle_seconds=60, poll_seconds=20, quiet_seconds=4
)
FULL = replace(SHORT, samples=200, idle_seconds=600, poll_seconds=60, quiet_seconds=5)
"""The control plane follows at this pace on two cores, so that the candidate is not measured behind its queue."""
TRIAL = Extent(
    samples=5, creations_per_second=5, changes_per_second=5, deletions_per_second=5, idle_seconds=2, poll_seconds=2, quiet_seconds=0.5
)
"""Shows that everything works; its figures mean nothing."""


def measure(candidate: Candidate, arena: Arena, folder: Path, *, resources: int, core: int, extent: Extent) -> Measured:
    """Start the candidate, measure it, end it. What goes wrong is noted, and ends at most this candidate's round."""
    phases = _Phases(candidate, arena, folder, resources, core, extent)
    try:
        arena.make_namespaces(resources)
        if candidate.lease is None:
            phases.apply_once()
        else:
            phases.work()
            phases.restart()
            phases.poll()
    except (Ended, Refused, OSError, HTTPException) as error:
        phases.notes.append(str(error))
    return Measured(phases.figures, phases.requests, phases.notes)


@dataclass
class _Phases:
    candidate: Candidate
    arena: Arena
    folder: Path
    resources: int
    core: int
    extent: Extent
    figures: dict[Figure, float] = field(default_factory=dict)
    requests: dict[Verb, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    polls_per_second: float = 0.0

    def apply_once(self) -> None:
        """Have every resource's children applied once."""
        for name in map(resource_name, range(self.resources)):
            self.arena.create(name)
        self.arena.audit.read()
        with self._program(POLL_SECONDS) as program:
            wait_until(lambda: _has_said(program, "done"), what="the floor to be done", timeout_seconds=self._patience)
            self._count_new(program, since=0.0)

    def work(self) -> None:
        """Have resources made, changed and their children deleted."""
        with self._program(POLL_SECONDS) as program:
            self._until_leading(program)
            self._until_idle(program)
            self._new(program)
            self._change(program)
            self._restore(program)

    def restart(self) -> None:
        """Start it again beside all that there is, then leave it alone."""
        self.arena.audit.read()
        began = time.monotonic()
        with self._program(SELDOM_SECONDS) as program:
            self._until_leading(program)
            self.figures[Figure.RESTART_SECONDS] = self._until_idle(program) - began
            self.figures[Figure.RESTART_CPU_MS] = program.cpu_seconds() * 1000
            self.figures[Figure.RESTART_MEMORY_MB] = program.memory_bytes() / 1e6
            self.figures[Figure.RESTART_WRITES] = self._writes()
            longest = self.extent.idle_seconds if self.candidate.name == OPERATOR else OTHERS_IDLE_SECONDS
            self.figures[Figure.IDLE_CPU_PERCENT] = _share(program, min(longest, self.extent.idle_seconds)) * 100
            self.figures[Figure.IDLE_WRITES] = self._writes()

    def poll(self) -> None:
        """See what the polls of the reports cost beside an idle operator."""
        with self._program(OFTEN_SECONDS) as program:
            self._until_leading(program)
            self._until_idle(program)
            polling = _share(program, self.extent.poll_seconds) * 100 - self.figures[Figure.IDLE_CPU_PERCENT]
            self.figures[Figure.POLL_CPU_PERCENT] = polling * 1000 / (self.resources * PODS_PER_RESOURCE)

    def _new(self, program: Program) -> None:
        self.arena.audit.read()
        cpu, created, generations = program.cpu_seconds(), {}, {}
        for position, name in enumerate(self._paced(self.resources, self.extent.creations_per_second)):
            self.arena.ready.wait_for(position + 1 - MOST_ON_THEIR_WAY, seconds=self._patience)
            created[name] = time.monotonic()
            generations[name] = self.arena.create(name)
        ready = self.arena.ready.wait(generations, seconds=self._patience)
        took = [ready[name] - created[name] for name in created]
        self.figures[Figure.READY_P50_SECONDS] = percentile(took, 0.5)
        self.figures[Figure.READY_P99_SECONDS] = percentile(took, 0.99)
        self._until_idle(program)
        self._count_new(program, since=cpu)

    def _count_new(self, program: Program, *, since: float) -> None:
        self.figures[Figure.READY_CPU_MS] = (program.cpu_seconds() - since) * 1000 / self.resources
        self.figures[Figure.MEMORY_MB] = program.memory_bytes() / 1e6
        counted = Counter(request.purpose for request in self._asked())
        self.requests = {verb: counted[verb] / self.resources for verb in Verb}

    def _change(self, program: Program) -> None:
        """Change specs at a fixed pace, each of another resource, so that a rollout of its pods follows."""
        cpu, generations = program.cpu_seconds(), {}
        for name in self._paced(self._samples, self.extent.changes_per_second):
            generations[name] = self.arena.change(name, max_tokens=2000)
        self.arena.ready.wait(generations, seconds=self._patience)
        self._until_idle(program)
        requests = self.arena.audit.read()
        asked = {request.name: request for request in requests if request.user != ACCOUNT and request.resource == "chatbotdeployments"}
        applied = [request for request in requests if request.user == ACCOUNT and request.resource == "deployments"]
        took = [request.ended - asked[request.name].begun for request in _first_of_each(applied) if request.name in asked]
        self._latencies(took, Figure.CHANGE_P50_MS, Figure.CHANGE_P99_MS, of=len(generations))
        statuses = sum(request.user == ACCOUNT and request.purpose is Verb.STATUS for request in requests)
        self.figures[Figure.CHANGE_STATUS_WRITES] = statuses / len(generations)
        self.figures[Figure.CHANGE_CPU_MS] = (program.cpu_seconds() - cpu) * 1000 / len(generations)

    def _restore(self, program: Program) -> None:
        """Delete children at a fixed pace, each of another resource, and wait for the pods that went with some."""
        kinds = itertools.cycle(CHILDREN)
        without_pods = []
        for name in self._paced(self._samples, self.extent.deletions_per_second):
            self.arena.delete((kind := next(kinds)).one(name))
            if kind is DEPLOYMENTS:
                without_pods.append(name)
        requests: list[Request] = []
        end = time.monotonic() + RESTORE_SECONDS
        while sum(map(_creates, requests)) < self._samples and time.monotonic() < end:
            time.sleep(_PAUSE_SECONDS)
            requests += self.arena.audit.read()
        asked = {(request.resource, request.name): request for request in requests if request.user != ACCOUNT and request.verb == "delete"}
        restored = {(request.resource, request.name): request for request in requests if _creates(request)}
        took = [restored[child].ended - asked[child].begun for child in asked.keys() & restored.keys()]
        self._latencies(took, Figure.RESTORE_P50_MS, Figure.RESTORE_P99_MS, of=self._samples)
        wait_until(lambda: all(map(self.arena.is_available, without_pods)), what="their pods", timeout_seconds=self._patience)
        self.arena.ready.wait(dict.fromkeys(without_pods, 1), seconds=self._patience)
        self._until_idle(program)

    def _latencies(self, took: list[float], middle: Figure, high: Figure, *, of: int) -> None:
        if len(took) < of:
            self.notes.append(f"{middle.name.partition('_')[0].lower()}: {of - len(took)} of {of} were not seen")
        if took:
            self.figures[middle] = percentile(took, 0.5) * 1000
            self.figures[high] = percentile(took, 0.99) * 1000

    @staticmethod
    def _paced(count: int, per_second: float) -> Iterator[str]:
        """Yield `count` resources, as often as `per_second` says at the most."""
        due = time.monotonic()
        for position in range(count):
            time.sleep(max(0.0, due - time.monotonic()))
            yield resource_name(position)
            due = max(due, time.monotonic() - 1) + 1 / per_second

    @property
    def _samples(self) -> int:
        return min(self.resources, self.extent.samples)

    @property
    def _patience(self) -> float:
        """Seconds after which resources that are not Ready never will be."""
        return 120 + 0.6 * self.resources

    @contextmanager
    def _program(self, poll_seconds: int) -> Iterator[Program]:
        place = Place(self.arena.kubeconfig, PORT, poll_seconds)
        self.polls_per_second = self.resources * PODS_PER_RESOURCE / poll_seconds
        with running(self.candidate.name, self.candidate.command(place), core=self.core, folder=self.folder) as program:
            yield program

    def _until_leading(self, program: Program) -> None:
        lease = self.candidate.lease or ""

        def leads() -> bool:
            program.check()
            return bool(self.arena.holder(lease))

        wait_until(leads, what=f"{self.candidate.name} to lead", timeout_seconds=START_SECONDS)

    def _until_idle(self, program: Program) -> float:
        """Wait until it has nothing left to do but to poll; return since when."""
        quiet = self.extent.quiet_seconds
        allowed = (QUIET_SHARE + QUIET_SECONDS_A_POLL * self.polls_per_second) * quiet
        end = time.monotonic() + self._patience
        since, cpu = time.monotonic(), program.cpu_seconds()
        while time.monotonic() < since + quiet:
            time.sleep(_PAUSE_SECONDS)
            if program.cpu_seconds() - cpu > allowed:
                since, cpu = time.monotonic(), program.cpu_seconds()
            if since > end:
                raise TimeoutError(f"{self.candidate.name} found no rest within {self._patience:.0f} s")
        return since

    def _asked(self) -> list[Request]:
        return [request for request in self.arena.audit.read() if request.user == ACCOUNT]

    def _writes(self) -> int:
        return sum(request.is_write for request in self._asked())


def _share(program: Program, seconds: float) -> float:
    """Return the share of a core that it uses during some seconds."""
    cpu, began = program.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    return (program.cpu_seconds() - cpu) / (time.monotonic() - began)


def _has_said(program: Program, word: str) -> bool:
    program.check()
    return word in program.log.read_text(errors="replace")


def _creates(request: Request) -> bool:
    return request.user == ACCOUNT and request.verb == "patch" and request.code == HTTPStatus.CREATED


def _first_of_each(requests: list[Request]) -> list[Request]:
    return list({request.name: request for request in reversed(requests)}.values())
