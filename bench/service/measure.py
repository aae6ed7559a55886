"""One candidate through every phase of a round, and a few in turns."""

import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from bench.service.candidates import Candidate, Place
from bench.service.figures import Measured, Round
from bench.service.load import Target, load
from bench.service.phases import SETTLE_SECONDS, SPACED, STREAMS, Direct, Extent, Findings, Phases
from bench.service.processes import Ended, running


def measure_direct(target: Target, extent: Extent) -> Direct:
    """Return what the upstream takes by itself."""
    with load(target, connections=1) as requests:
        time.sleep(SETTLE_SECONDS * extent.length)
        requests.report()
        time.sleep(2 * extent.length)
        request_ms = requests.report().request_ms
    with load(target, connections=STREAMS, stream=SPACED) as events:
        events.until_open(STREAMS)
        time.sleep(3 * extent.length)
        return Direct(request_ms, events.report().stamp_ms)


def measure(candidate: Candidate, place: Place, target: Target, *, core: int, direct: Direct, extent: Extent) -> Measured:
    """Start the candidate, measure it, end it. What goes wrong is noted, and ends at most this candidate's round."""
    found = Findings()
    try:
        with running(candidate.name, candidate.command(place), core=core, folder=place.folder) as program:
            phases = Phases(candidate, place, target, program, extent, found)
            phases.start()
            phases.requests(direct)
            phases.events(direct)
            phases.beside_streams()
            if candidate.holds:
                phases.hold()
    except (Ended, TimeoutError) as error:
        found.notes.append(str(error))
    return Measured(found.figures, found.held, found.notes)


def measure_in_turns(
    entrants: Sequence[tuple[Candidate, Place, Target]], *, core: int, chance: random.Random, extent: Extent
) -> list[Round]:
    """Start everybody, then ask all of them the same for a moment each, in random order; raises Ended and TimeoutError."""
    turns: list[Round] = []
    with ExitStack() as stack:
        started = {
            candidate.name: Phases(
                candidate,
                place,
                target,
                stack.enter_context(running(candidate.name, candidate.command(place), core=core, folder=place.folder)),
                extent,
                Findings(),
            )
            for candidate, place, target in entrants
        }
        for phases in started.values():
            phases.start()
        for _ in range(extent.turns):
            for ask in (Phases.request_turn, Phases.request_turn, Phases.event_turn):  # the first is over soon, and varies more
                order = chance.sample(list(started), len(started))
                turns.append({name: ask(replace(started[name], found=Findings())) for name in order})
    return turns
