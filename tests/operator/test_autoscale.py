"""Decisions of the built-in autoscaling, and what holds for any load."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_operator.autoscale import Memory, derive_replicas
from chatbot_operator.fleet import FleetHealth, merge
from chatbot_operator.resource import ChatbotSpec
from tests.resources import report_of, resource_of

NOW = 10_000.0
LONG_AGO = Memory(0, ((NOW - 299, 1),))
"""Nothing more was recommended within the stabilization."""


def spec_of(*, replicas: int = 3, **scaling: Any) -> ChatbotSpec:
    fields = {"enabled": True, "minReplicas": 2, "maxReplicas": 10, "targetInFlightPerPod": 20} | scaling
    return resource_of({"replicas": replicas, "autoscaling": fields}).spec


def loaded(*in_flight: int, silent: int = 0) -> FleetHealth:
    reports = [report_of(str(number), inFlight=load) for number, load in enumerate(in_flight)]
    return merge(reports, expected=len(in_flight) + silent)


@pytest.mark.parametrize(
    ("current", "fleet", "expected"),
    [
        (3, loaded(20, 20, 20), 3),
        (3, loaded(22, 22, 22), 3),  # within the tolerance
        (3, loaded(23, 22, 22), 4),
        (3, loaded(60, 0, 0), 3),
        (3, loaded(40, 40, 40), 6),
        (3, loaded(200, 200, 200), 10),
        (4, loaded(18, 18, 18, 18), 4),
        (4, loaded(10, 10, 10, 10), 2),
        (4, loaded(0, 0, 0, 0), 2),
        (4, loaded(0, 0, 0), 4),
        (4, loaded(0, 0, 0, 0, silent=1), 4),
        (4, loaded(60, 60, 60, silent=1), 9),
        (4, loaded(silent=4), 4),
        (4, None, 4),
        (1, loaded(0), 2),
        (12, loaded(*[20] * 12), 10),
    ],
)
def test_load_decides_within_the_bounds(current: int, fleet: FleetHealth | None, expected: int) -> None:
    assert derive_replicas(spec_of(), fleet, current=current, memory=LONG_AGO, now=NOW).replicas == expected


@pytest.mark.parametrize(("replicas", "expected"), [(3, 3), (1, 2), (50, 10)])
def test_first_pods_are_as_many_as_the_spec_says_within_the_bounds(replicas: int, expected: int) -> None:
    for current in (None, 0):
        assert derive_replicas(spec_of(replicas=replicas), None, current=current, now=NOW).replicas == expected


def test_zero_stops_under_any_load() -> None:
    assert derive_replicas(spec_of(replicas=0), loaded(200, 200), current=2, memory=LONG_AGO, now=NOW) == Memory(0)


def test_spec_decides_without_autoscaling() -> None:
    assert derive_replicas(spec_of(enabled=False), loaded(200, 200), current=2, memory=LONG_AGO, now=NOW) == Memory(3)


def test_fewer_pods_must_have_been_enough_for_the_whole_stabilization() -> None:
    spec = spec_of()
    memory = derive_replicas(spec, loaded(*[40] * 4), current=4, memory=LONG_AGO, now=NOW)

    for seconds, load, expected in [(15, 0, 8), (100, 14, 8), (299, 0, 8), (300, 0, 6), (399, 0, 6), (400, 0, 2)]:
        fleet = loaded(*[load] * memory.replicas)
        memory = derive_replicas(spec, fleet, current=memory.replicas, memory=memory, now=NOW + seconds)
        assert memory.replicas == expected, f"{seconds} s after the peak"


def test_start_of_the_operator_counts_as_a_recommendation_of_what_is_there() -> None:
    memory = derive_replicas(spec_of(), loaded(0, 0, 0, 0), current=4, now=NOW)
    assert memory.replicas == 4

    assert derive_replicas(spec_of(), loaded(0, 0, 0, 0), current=4, memory=memory, now=NOW + 299).replicas == 4
    assert derive_replicas(spec_of(), loaded(0, 0, 0, 0), current=4, memory=memory, now=NOW + 300).replicas == 2


@pytest.mark.parametrize("current", [0, 1, 50, None])
def test_what_somebody_made_of_the_deployment_is_not_taken_for_a_decision(current: int | None) -> None:
    decided = Memory(8, ((NOW - 10, 8),))

    assert derive_replicas(spec_of(), loaded(20, 20), current=current, memory=decided, now=NOW).replicas == 8


loads = st.lists(st.integers(0, 10**9), max_size=12)
memories = st.lists(st.tuples(st.floats(NOW - 400, NOW), st.integers(0, 1000)), max_size=5).map(
    lambda found: Memory(recommendations=tuple(sorted(found)))
)


@given(load=loads, silent=st.integers(0, 3), current=st.integers(1, 1000), memory=memories)
def test_decision_is_within_the_bounds_and_no_silent_pod_takes_one_away(load: list[int], silent: int, current: int, memory: Memory) -> None:
    fleet = loaded(*load, silent=silent)

    decided = derive_replicas(spec_of(), fleet, current=current, memory=memory, now=NOW)

    assert 2 <= decided.replicas <= 10
    if silent or len(load) < current:
        assert decided.replicas >= min(current, 10)
    again = derive_replicas(spec_of(), fleet, current=current, memory=decided, now=NOW)
    assert again.replicas == decided.replicas


@given(load=loads.filter(bool), more=st.integers(0, 1000))
def test_more_load_never_leads_to_fewer_pods(load: list[int], more: int) -> None:
    current = len(load)
    less = derive_replicas(spec_of(maxReplicas=1000), loaded(*load), current=current, memory=LONG_AGO, now=NOW)

    busier = derive_replicas(spec_of(maxReplicas=1000), loaded(load[0] + more, *load[1:]), current=current, memory=LONG_AGO, now=NOW)

    assert busier.replicas >= less.replicas


@given(history=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 400)), max_size=30))
def test_stabilization_follows_the_highest_recommendation_of_the_window(history: list[tuple[int, int]]) -> None:
    spec, now, current, memory = spec_of(minReplicas=1, maxReplicas=20), NOW, 20, Memory()
    recommended = [(NOW, 20)]
    for seconds, load in history:
        now += seconds
        fleet = loaded(load, *[0] * (current - 1))
        wanted = current if abs(load - current * 20) * 10 <= current * 20 else min(max(-(-load // 20), 1), 20)
        recommended.append((now, wanted))
        memory = derive_replicas(spec, fleet, current=current, memory=memory, now=now)
        if len(recommended) == 2:
            recommended[0] = (now, 20)
        highest = max(replicas for at, replicas in recommended if at > now - 300)
        current = min(max(current, wanted), highest)
        assert memory.replicas == current
        assert len(memory.recommendations) <= 21
