from chatbot_operator.liveness import Heartbeats
from tests.clock import Clock


def test_loop_that_is_not_heard_of_in_time_is_named() -> None:
    clock = Clock()
    heartbeats = Heartbeats(clock=clock)
    heartbeats.promise("prober", 60)
    heartbeats.promise("informer Service", 300)

    clock.now += 60
    assert list(heartbeats.missed()) == []
    clock.now += 1
    assert list(heartbeats.missed()) == ["prober should have been heard of 1 s ago"]


def test_kept_promise_and_intended_end_are_no_failures() -> None:
    clock = Clock()
    heartbeats = Heartbeats(clock=clock)
    for name in ("prober", "informer Service"):
        heartbeats.promise(name, 60)

    clock.now += 50
    heartbeats.promise("informer Service", 60)
    heartbeats.end("prober")
    clock.now += 50

    assert list(heartbeats.missed()) == []
