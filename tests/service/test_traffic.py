from chatbot_service.traffic import BOUNDS_MS, Traffic
from tests.clock import Clock


def test_requests_and_errors_are_counted_in_every_window() -> None:
    traffic = Traffic(clock=Clock())

    traffic.record(error=False, latency_seconds=0.02)
    traffic.record(error=True, first_token_seconds=2.2)

    for window in traffic.summary().values():
        assert (window["requests"], window["errors"]) == (2, 1)
        assert sum(window["latencyMs"]["counts"]) == sum(window["firstTokenMs"]["counts"]) == 1


def test_reading_in_between_loses_nothing() -> None:
    clock = Clock()
    traffic = Traffic(clock=clock)

    for _ in range(10):  # within one slot, and from slot to slot of either window
        traffic.record(error=False, latency_seconds=0.02)
        traffic.summary()
        clock.now += 7

    for window in traffic.summary().values():
        assert (window["requests"], sum(window["latencyMs"]["counts"])) == (10, 10)


def test_a_window_forgets_what_is_older_than_itself() -> None:
    clock = Clock()
    traffic = Traffic(clock=clock)
    traffic.record(error=True)

    clock.now += 301
    assert traffic.summary()["5m"]["requests"] == 0
    assert traffic.summary()["1h"]["requests"] == 1

    clock.now += 3600
    assert traffic.summary()["1h"]["requests"] == 0


def test_a_window_remembers_nearly_its_whole_span() -> None:
    clock = Clock()
    traffic = Traffic(clock=clock)
    traffic.record(error=False)

    clock.now += 294

    assert traffic.summary()["5m"]["requests"] == 1


def test_a_latency_counts_under_its_upper_bound_and_the_last_count_is_of_the_rest() -> None:
    traffic = Traffic(clock=Clock())

    for seconds in (0.01, 0.0101, 3.0, 61.0):
        traffic.record(error=False, latency_seconds=seconds)

    histogram = traffic.summary()["5m"]["latencyMs"]
    counts = dict(zip([*BOUNDS_MS, "more"], histogram["counts"], strict=True))
    assert (counts[10], counts[25], counts[3_000], counts["more"]) == (1, 1, 1, 1)


def test_a_slot_that_comes_round_again_starts_at_zero() -> None:
    clock = Clock()
    traffic = Traffic(clock=clock)
    traffic.record(error=True)

    clock.now += 300
    traffic.record(error=False)

    assert traffic.summary()["5m"]["errors"] == 0
    assert traffic.summary()["5m"]["requests"] == 1
