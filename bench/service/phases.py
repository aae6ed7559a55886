"""What a candidate goes through in a round, phase by phase, and how its costs are read meanwhile."""

import http.client
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from bench.service.candidates import Candidate, Place
from bench.service.figures import Figure, Held, Measured
from bench.service.load import Load, Report, Stream, Target, load
from bench.service.processes import Program, busy_seconds

READY_SECONDS = 120.0
SETTLE_SECONDS = 1.0
CONNECTIONS = 8
STREAMS = 20
TURN_STREAMS = 100
"""Keeps everybody who is asked in turns at work. A process that mostly sleeps pays for its cold caches, and that by chance."""
SPACED = Stream(every_ms=20, events=500)
BURSTS = Stream(every_ms=20, events=500, burst=20)
QUIET = Stream(every_ms=20_000, events=10)
"""Open, and hardly ever a piece of text: below the pause after which a stream counts as dead."""
FORSAKEN_SECONDS = 15.0
"""Within which the streams end of whoever goes on with them when the client has left."""
OTHERS_SHARE = 0.1
DISTURBED = f"other programs used more than {OTHERS_SHARE:.0%} of its core meanwhile"


@dataclass(frozen=True)
class Extent:
    """How long everything is measured, as a multiple of the usual, how many turns there are, and how many streams are held.

    `share` of its core is what the load at capacity is reckoned to take; it has at most as many streams as are held otherwise.
    """

    length: float
    turns: int
    beside: int
    held: tuple[int, int]
    share: float


FULL = Extent(1.0, 16, 1000, (5000, 8000), 0.55)
SHORT = replace(FULL, length=0.6, turns=8)
TRIAL = Extent(0.1, 1, 50, (100, 200), 0.1)
"""Shows that everything works; its figures mean nothing."""


@dataclass(frozen=True)
class Direct:
    """Latencies (p50, p99) with nothing between the generator and the upstream."""

    request_ms: tuple[float, float]
    event_ms: tuple[float, float]


@dataclass(frozen=True)
class Findings:
    """What is found of one candidate, filled as its phases go by."""

    figures: dict[Figure, float] = field(default_factory=dict)
    held: list[Held] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Window:
    """What happened during some seconds of a load, and the CPU time that the candidate took for it."""

    report: Report
    cpu_seconds: float


@dataclass(frozen=True)
class Phases:
    """Every phase of one candidate that runs."""

    candidate: Candidate
    place: Place
    target: Target
    program: Program
    extent: Extent
    found: Findings

    def start(self) -> None:
        """Wait until it is live and ready."""
        for path, figure in ((self.candidate.live_path, Figure.LIVE_CPU_MS), (self.candidate.ready_path, Figure.READY_CPU_MS)):
            self._until_answered(path)
            self.found.figures[figure] = self.program.cpu_seconds() * 1000
        self.settle()
        self.found.figures[Figure.IDLE_MB] = self.program.memory_bytes() / 1e6

    def request_turn(self) -> Measured:
        """Return what requests cost at this moment."""
        self.request_cost(seconds=1)
        return Measured(self.found.figures, notes=self.found.notes)

    def event_turn(self) -> Measured:
        """Return what events cost at this moment."""
        self.event_cost(TURN_STREAMS, seconds=2)
        return Measured(self.found.figures, notes=self.found.notes)

    def request_cost(self, *, seconds: float) -> None:
        """Whole answers, as many at once as there are connections."""
        with load(self.target, connections=CONNECTIONS) as requests:
            self.settle(seconds / 2)
            self._per_request(Figure.REQUEST_US, self.window(requests, seconds))

    def event_cost(self, streams: int, *, seconds: float) -> Report:
        """Streams, each with a piece of text every 20 ms."""
        with self.streams(streams, SPACED) as running_load:
            window = self.window(running_load, seconds)
        self._per_event(Figure.EVENT_US, window)
        return window.report

    def requests(self, direct: Direct) -> None:
        """Whole answers: under load for their cost, one by one for their latency."""
        self.request_cost(seconds=4)
        with load(self.target, connections=1) as requests:
            report = self.window(requests, 2).report
        if report.requests:
            self.found.figures[Figure.REQUEST_ADDED_P50_MS] = report.request_ms[0] - direct.request_ms[0]
            self.found.figures[Figure.REQUEST_ADDED_P99_MS] = report.request_ms[1] - direct.request_ms[1]

    def events(self, direct: Direct) -> None:
        """Streams: a piece of text every 20 ms, then 20 pieces every 400 ms."""
        report = self.event_cost(STREAMS, seconds=5)
        if report.stamps:
            self.found.figures[Figure.EVENT_ADDED_P50_MS] = report.stamp_ms[0] - direct.event_ms[0]
            self.found.figures[Figure.EVENT_ADDED_P99_MS] = report.stamp_ms[1] - direct.event_ms[1]
        with self.streams(STREAMS, BURSTS) as streams:
            self._per_event(Figure.BURST_EVENT_US, self.window(streams, 3))

    def beside_streams(self) -> None:
        """Short requests alone, then beside many open streams, whose own cost is taken off."""
        with load(self.target, connections=CONNECTIONS) as requests:
            self.settle()
            self._per_request(Figure.ALONE_US, self.window(requests, 2.5))
        with self.quiet_streams() as streams:
            quiet = self.window(streams, 2)
            with load(self.target, connections=CONNECTIONS) as requests:
                self.settle(0.5)
                window = self.window(requests, 2.5)
        self._per_request(
            Figure.BESIDE_US, Window(window.report, window.cpu_seconds - quiet.cpu_seconds / quiet.report.seconds * window.report.seconds)
        )

    @contextmanager
    def quiet_streams(self) -> Iterator[Load]:
        """Hold streams that hardly ever bring a piece of text, for the memory of each."""
        before = self.program.memory_bytes()
        with self.streams(self.extent.beside, QUIET) as streams:
            self.found.figures[Figure.STREAM_KIB] = (self.program.memory_bytes() - before) / 1024 / self.extent.beside
            yield streams

    def hold(self) -> None:
        """Hold many streams, then more."""
        many, more = self.extent.held
        with load(self.target, connections=many, stream=QUIET) as first:
            failed = first.until_open(many)
            failed += self._held(many, failed, first)
            with load(self.target, connections=more - many, stream=QUIET) as second:
                failed += second.until_open(more - many)
                self._held(more, failed, first, second)

    def _held(self, asked: int, failed: int, *loads: Load) -> int:
        """Return how many failed while they were held."""
        self.settle(2)
        reports = [each.report() for each in loads]
        failed_since = sum(report.failed for report in reports)
        opened = sum(report.open for report in reports)
        self.found.held.append(Held(asked, opened, failed + failed_since, self.program.memory_bytes() / 1e6))
        return failed_since

    def settle(self, times: float = 1.0) -> None:
        """Wait until a load that has just begun, or ended, no longer tells on the figures."""
        time.sleep(SETTLE_SECONDS * self.extent.length * times)

    @contextmanager
    def streams(self, streams: int, stream: Stream) -> Iterator[Load]:
        """Hold streams open; those that could not be opened are noted."""
        with load(self.target, connections=streams, stream=stream) as running_load:
            failed = running_load.until_open(streams)
            if failed:
                self.found.notes.append(f"{failed} of {streams} streams failed to open")
            self.settle()
            yield running_load
        self._until_forsaken()

    def _until_forsaken(self) -> None:
        """Wait until the upstream has no stream open: the next phase is not to pay for those whose clients have left."""
        began = time.monotonic()
        while (left := _open_streams(self.place)) and time.monotonic() < began + FORSAKEN_SECONDS:
            time.sleep(0.05)
        if left or time.monotonic() > began + 2:
            self.found.notes.append("goes on with streams whose clients have left")

    def window(self, running_load: Load, seconds: float) -> Window:
        """Watch `running_load`; what failed, and who disturbed it, is noted."""
        before, busy_before = self.program.cpu_seconds(), busy_seconds(self.program.core)
        self._note_failures(running_load.report())
        time.sleep(seconds * self.extent.length)
        window = Window(running_load.report(), self.program.cpu_seconds() - before)
        self._note_failures(window.report)
        others = (busy_seconds(self.program.core) - busy_before - window.cpu_seconds) / window.report.seconds
        if others > OTHERS_SHARE:
            self.found.notes.append(DISTURBED)
        return window

    def _note_failures(self, report: Report) -> None:
        self.found.notes.extend(f"failed: {reason}" for reason in report.reasons)

    def _per_request(self, figure: Figure, window: Window) -> None:
        if window.report.requests:
            self.found.figures[figure] = window.cpu_seconds * 1e6 / window.report.requests
        else:
            self.found.notes.append(f"{figure.name}: no request was answered in {window.report.seconds:.1f} s")

    def _per_event(self, figure: Figure, window: Window) -> None:
        if window.report.stamps:
            self.found.figures[figure] = window.cpu_seconds * 1e6 / window.report.stamps
        else:
            self.found.notes.append(f"{figure.name}: no event arrived in {window.report.seconds:.1f} s")

    def _until_answered(self, path: str) -> None:
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            self.program.check()
            if _answers(self.place.port, path):
                return
            time.sleep(0.01)
        raise TimeoutError(f"did not answer {path} with 200 within {READY_SECONDS:.0f} s")


def _open_streams(place: Place) -> int:
    host = urlsplit(place.upstream).netloc
    if place.root_file is None:
        connection = http.client.HTTPConnection(host, timeout=5)
    else:
        connection = http.client.HTTPSConnection(host, timeout=5, context=ssl.create_default_context(cafile=place.root_file))
    try:
        connection.request("GET", "/open")
        return int(connection.getresponse().read())
    finally:
        connection.close()


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
