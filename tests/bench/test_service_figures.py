"""The benchmark's arithmetic: medians over rounds, ratios within one round, the worst of what was held, and the verdicts."""

import pytest

from bench.service.figures import Check, Figure, Held, Measured, Run


def request(microseconds: float) -> Measured:
    return Measured({Figure.REQUEST_US: microseconds})


def test_a_ratio_is_the_median_of_each_rounds_own() -> None:
    slow_round = {"ours": request(200), "theirs": request(100)}
    fast_round = {"ours": request(30), "theirs": request(10)}
    usual_round = {"ours": request(50), "theirs": request(20)}

    run = Run([slow_round, fast_round, usual_round])

    assert run.ratio("ours", "theirs", Figure.REQUEST_US) == 2.5
    assert run.difference("ours", "theirs", Figure.REQUEST_US) == 30
    assert run.median("ours", Figure.REQUEST_US) == 50


def test_a_round_without_one_of_both_does_not_count_for_their_ratio() -> None:
    run = Run([{"ours": request(50), "theirs": request(20)}, {"ours": request(9)}, {"ours": request(9), "theirs": Measured({})}])

    assert run.ratio("ours", "theirs", Figure.REQUEST_US) == 2.5
    assert run.median("ours", Figure.REQUEST_US) == 9


def test_what_was_never_measured_is_none() -> None:
    run = Run([{"ours": Measured({})}])

    assert run.median("ours", Figure.EVENT_US) is None
    assert run.median("nobody", Figure.EVENT_US) is None
    assert run.ratio("ours", "nobody", Figure.EVENT_US) is None
    assert run.growth("ours", Figure.BESIDE_US, since=Figure.ALONE_US) is None


def test_growth_is_taken_within_a_round() -> None:
    run = Run(
        [{"ours": Measured({Figure.ALONE_US: alone, Figure.BESIDE_US: beside})} for alone, beside in ((100, 110), (10, 20), (50, 60))]
    )

    assert run.growth("ours", Figure.BESIDE_US, since=Figure.ALONE_US) == 1.2


def test_of_what_was_held_the_worst_of_all_rounds_counts() -> None:
    first = Measured({}, held=[Held(5000, 5000, 0, 150.0), Held(8000, 7999, 1, 240.0)])
    second = Measured({}, held=[Held(5000, 4990, 12, 120.0)])

    run = Run([{"ours": first}, {"ours": second}])

    assert run.worst_held("ours") == [Held(5000, 4990, 12, 150.0), Held(8000, 7999, 1, 240.0)]


def test_a_note_is_told_once() -> None:
    run = Run([{"ours": Measured({}, notes=["cut", "status 500"])}, {"ours": Measured({}, notes=["cut"])}])

    assert run.notes("ours") == ["cut", "status 500"]


@pytest.mark.parametrize(
    ("measured", "required", "goal", "verdict"),
    [
        (1.5, 2.5, 1.6, "goal met"),
        (1.6, 2.5, 1.6, "goal met"),
        (2.5, 2.5, 1.6, "met"),
        (2.51, 2.5, 1.6, "MISSED"),
        (0.2, 0.65, None, "met"),
        (2.4, None, 2.3, "goal missed"),
        (None, 2.5, 1.6, "not measured"),
    ],
)
def test_a_verdict_tells_the_goal_from_what_is_required(
    measured: float | None, required: float | None, goal: float | None, verdict: str
) -> None:
    assert Check("event ÷ Go proxy", measured, required, goal).verdict == verdict
