"""The operator's figures, from rounds to medians, ratios and growth."""

import pytest

from bench.operator.figures import Figure, Measured, Round, Run, Verb, percentile


def of(cpu: float, **more: float) -> Measured:
    return Measured({Figure.READY_CPU_MS: cpu}, {Verb[name]: count for name, count in more.items()})


def test_ratios_are_those_within_a_round_and_not_of_medians() -> None:
    run = Run([Round(200, {"a": of(mine), "b": of(theirs)}) for mine, theirs in ((1, 2), (8, 4), (9, 3))])

    assert run.ratio("a", "b", 200, Figure.READY_CPU_MS) == 2.0
    assert run.median("a", 200, Figure.READY_CPU_MS) == 8.0


def test_what_was_not_measured_is_no_figure() -> None:
    run = Run([Round(200, {"a": of(1)})])

    assert run.median("a", 1000, Figure.READY_CPU_MS) is None
    assert run.ratio("a", "b", 200, Figure.READY_CPU_MS) is None
    assert run.requests("a", 200) is None
    assert run.exponent("a", Figure.READY_CPU_MS) is None


@pytest.mark.parametrize(("dearer", "exponent"), [(1.0, 1.0), (25.0, 2.0), (0.2, 0.5)])
def test_growth_is_the_power_of_the_total(dearer: float, exponent: float) -> None:
    run = Run([Round(200, {"a": of(4)}), Round(5000, {"a": of(4 * dearer)})])

    assert run.exponent("a", Figure.READY_CPU_MS) == pytest.approx(exponent)


def test_requests_are_counted_by_verb_and_in_all() -> None:
    run = Run([Round(200, {"a": of(1, APPLY=5, STATUS=1.5)})])

    assert run.requests("a", 200, Verb.STATUS) == 1.5
    assert run.requests("a", 200, Verb.READ) == 0
    assert run.requests("a", 200) == 6.5


def test_notes_say_with_how_many_resources_and_are_told_once() -> None:
    noted = Measured({}, notes=["lost 1"])
    run = Run([Round(200, {"a": noted}), Round(200, {"a": noted}), Round(1000, {"b": noted})])

    assert run.notes("a") == ["200 resources: lost 1"]


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100)])
def test_percentile_is_one_of_the_values(share: float, value: float) -> None:
    assert percentile(list(range(100, 0, -1)), share) == value
