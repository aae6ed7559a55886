"""The plan of an answer: which steps, in which order, for which faults."""

import pytest

from anthropic_simulator.behaviour import Behaviour
from anthropic_simulator.delivery import Ending, Start, Step, plan_json, plan_stream
from anthropic_simulator.messages import Frame

FRAMES = [Frame(b"start "), Frame(b"a ", is_delta=True), Frame(b"b ", is_delta=True), Frame(b"stop")]


def outline(steps: list[Step]) -> list[object]:
    """Return the steps with every start as its status."""
    return [step.status if isinstance(step, Start) else step for step in steps]


@pytest.mark.parametrize(
    ("behaviour", "steps"),
    [
        (Behaviour(), [200, b"start a b stop"]),
        (Behaviour(first_token_delay="2s"), [2.0, 200, b"start a b stop"]),
        (Behaviour(pace="1s"), [200, b"start ", b"a ", 1.0, b"b ", b"stop"]),
        (Behaviour(stall_at=3), [200, b"start a ", Ending.STALL]),
        (Behaviour(cut_at=1), [200, b"", Ending.CUT]),
        (Behaviour(cut_at=0, first_token_delay="1s"), [1.0, Ending.CUT]),
        (Behaviour(overload_at=2), [200, b"start ", b"event: error\ndata: {}\n\n"]),
        (Behaviour(overload_at=2, cut_at=2), [200, b"start ", Ending.CUT]),
        (Behaviour(stall_at=2, cut_at=2), [200, b"start ", Ending.CUT]),
        (Behaviour(stall_at=2, cut_at=3, overload_at=4), [200, b"start ", Ending.STALL]),
        (Behaviour(stall_at=5), [200, b"start a b stop"]),
        (Behaviour(stall_at=5, overload_at=4), [200, b"start a b ", b"event: error\ndata: {}\n\n"]),
    ],
)
def test_stream_is_planned_up_to_its_earliest_fault(behaviour: Behaviour, steps: list[object]) -> None:
    assert outline(plan_stream(FRAMES, behaviour, overloaded=b"{}")) == steps


@pytest.mark.parametrize(
    ("behaviour", "steps"),
    [
        (Behaviour(), [200, b"body"]),
        (Behaviour(first_token_delay="2s", pace="500ms"), [3.0, 200, b"body"]),
        (Behaviour(stall_at=7), [200, b"bo", Ending.STALL]),
        (Behaviour(cut_at=1), [200, b"bo", Ending.CUT]),
        (Behaviour(stall_at=0), [Ending.STALL]),
    ],
)
def test_json_answer_takes_as_long_as_its_stream_and_stops_half_way(behaviour: Behaviour, steps: list[object]) -> None:
    assert outline(plan_json(b"body", behaviour, deltas=3)) == steps
