"""The load that the service's costs allow for: how it is reckoned, and a small one driven for real.

Whether the costs add up is for the benchmark to say, on a machine that does nothing else: here other tests take the core's time, and a
rate that the service could serve alone is none that it is given the time for.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.service.__main__ import Bench
from bench.service.candidates import Place, chatbot_service
from bench.service.capacity import reckon
from bench.service.figures import Costs, Loaded
from bench.service.installed import build_binaries
from bench.service.phases import TRIAL
from bench.service.processes import Command

CORE = max(os.sched_getaffinity(0))
COSTS = Costs(request_us=131, event_us=99, idle_mb=90, stream_kib=68)


def test_half_of_the_share_is_for_requests_and_half_for_events() -> None:
    capacity = reckon(COSTS, share=0.8, most_streams=8000)

    assert capacity.requests_per_second * 131e-6 == pytest.approx(0.4)
    assert capacity.events_per_second * 99e-6 == pytest.approx(0.4, rel=1e-3)


def test_as_many_streams_are_held_as_the_memory_allows() -> None:
    held = [
        reckon(replace(COSTS, stream_kib=stream_kib), share=0.8, most_streams=8000).streams for stream_kib in (68.0, 136.0, 24.0, 0.0, -1.0)
    ]

    assert 90 + held[0] * 68 * 1024 / 1e6 == pytest.approx(360, abs=0.1)
    assert 90 + held[1] * 136 * 1024 / 1e6 == pytest.approx(360, abs=0.2)
    assert held[2:] == [8000, 8000, 8000]


@pytest.mark.parametrize(
    ("served", "percent"), [((3000.0, 4000.0), 0), ((2970.0, 4100.0), 1), ((3000.0, 3000.0), 25), ((0.0, 4000.0), 100)]
)
def test_what_was_not_served_is_the_worse_of_requests_and_events(served: tuple[float, float], percent: float) -> None:
    loaded = Loaded(COSTS, 5000, 0, (3000.0, 4000.0), served, request_ms=(1, 2), event_ms=(1, 2), cpu_percent=78, megabytes=250)

    assert loaded.percent_not_served == pytest.approx(percent)


@pytest.mark.programs
def test_a_load_at_fixed_rates_is_driven_over_tls_and_what_it_takes_is_measured() -> None:
    service = chatbot_service(Path(sys.executable).parent)
    asked: list[str] = []

    def command(place: Place) -> Command:
        asked.append(place.upstream)
        return service.command(place)

    loaded = Bench(build_binaries(), CORE, TRIAL).load(replace(service, command=command))

    assert loaded.lost == 0
    assert min(loaded.served) > 0
    assert 0 < loaded.cpu_percent < 80
    assert 50 < loaded.megabytes < 400
    assert 0 < loaded.streams <= TRIAL.held[1]
    assert [url.partition(":")[0] for url in asked] == ["https"]
