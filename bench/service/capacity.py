"""What one pod can take: reckoned from what a request, an event and an open stream cost alone, then asked for all at once, at fixed rates.

docs/operations.md has its users reckon in the same way; whether costs that were measured one by one add up is what is shown here. The API
is asked over TLS, as a pod asks it.
"""

from dataclasses import dataclass

from bench.service.candidates import Candidate, Place
from bench.service.figures import Costs, Figure, Loaded
from bench.service.load import Stream, Target, load
from bench.service.phases import STREAMS, Extent, Findings, Phases
from bench.service.processes import running
from bench.service.requirements import MOST_MB

CONNECTIONS = 64
EVENTS_A_STREAM = 500
"""More than can come while it is measured."""
DRIVE_SECONDS = 25
MEMORY_SHARE = 0.9
"""Of the memory that the service may have; the connections for whole answers, and what is free but not given back, have the rest."""


class NotMeasured(Exception):
    """There are no costs to reckon with, and why."""


@dataclass(frozen=True)
class Capacity:
    """A load: `streams` open, each with an event every `every_ms`, and requests beside them."""

    streams: int
    every_ms: int
    requests_per_second: float

    @property
    def events_per_second(self) -> float:
        """Return the events of all streams."""
        return self.streams * 1000 / self.every_ms


def reckon(costs: Costs, *, share: float, most_streams: int) -> Capacity:
    """Return what takes `share` of a core, half of it by requests and half by events, and MEMORY_SHARE of the memory."""
    room_kib = (MEMORY_SHARE * MOST_MB - costs.idle_mb) * 1e6 / 1024
    streams = min(most_streams, int(room_kib / max(costs.stream_kib, 1)))  # a trial's few may fit into what is free
    half_us = share * 1e6 / 2
    return Capacity(streams, every_ms=round(streams * 1000 * costs.event_us / half_us), requests_per_second=half_us / costs.request_us)


def measure_capacity(candidate: Candidate, place: Place, target: Target, *, core: int, extent: Extent) -> Loaded:
    """Start the candidate, measure its costs, drive the load that they allow for; raises Ended, TimeoutError and NotMeasured."""
    with running(candidate.name, candidate.command(place), core=core, folder=place.folder) as program:
        phases = Phases(candidate, place, target, program, extent, Findings())
        phases.start()
        phases.request_cost(seconds=4)
        phases.event_cost(STREAMS, seconds=5)
        with phases.quiet_streams():
            pass
        costs = _costs(phases.found)
        return _drive(phases, costs, reckon(costs, share=extent.share, most_streams=extent.held[1]))


def _costs(found: Findings) -> Costs:
    try:
        return Costs(*(found.figures[figure] for figure in (Figure.REQUEST_US, Figure.EVENT_US, Figure.IDLE_MB, Figure.STREAM_KIB)))
    except KeyError as error:
        raise NotMeasured("; ".join(found.notes)) from error


def _drive(phases: Phases, costs: Costs, capacity: Capacity) -> Loaded:
    with (
        phases.streams(capacity.streams, Stream(capacity.every_ms, EVENTS_A_STREAM)) as streams,
        load(phases.target, connections=CONNECTIONS, rate=capacity.requests_per_second) as requests,
    ):
        phases.settle(2)
        streams.report()
        window = phases.window(requests, DRIVE_SECONDS)
        streamed, answered = streams.report(), window.report
        megabytes = phases.program.memory_bytes() / 1e6
    return Loaded(
        costs,
        streams=capacity.streams,
        lost=answered.failed + streamed.failed + capacity.streams - streamed.open,
        asked=(capacity.requests_per_second, capacity.events_per_second),
        served=(answered.requests / answered.seconds, streamed.stamps / streamed.seconds),
        request_ms=answered.request_ms,
        event_ms=streamed.stamp_ms,
        cpu_percent=window.cpu_seconds / answered.seconds * 100,
        megabytes=megabytes,
        notes=[*phases.found.notes, *(f"failed: {reason}" for reason in streamed.reasons)],
    )
