"""When a status is worth a write; statuses here hold only what that depends on."""

from typing import Any

import pytest

from chatbot_operator.cache import ResourceKey
from chatbot_operator.reporting import (
    CROWD_SECONDS,
    FIGURES_SECONDS,
    LONG_SECONDS,
    MOST_PATIENCE_SECONDS,
    PROGRESS_SECONDS,
    STILL_SECONDS,
    Reporting,
    Urgency,
    urgency,
)
from chatbot_operator.resource import Manifest
from tests.clock import Clock

KEY = ResourceKey("team", "bot")
BORN: Manifest = {"observedGeneration": -1, "state": "Pending", "summary": "Not looked at yet."}


def condition(type_: str, status: str, reason: str, message: str = "") -> Manifest:
    return {"type": type_, "status": status, "reason": reason, "message": message}


def status(state: str, *conditions: Manifest, generation: int = 1, **fields: Any) -> Manifest:
    return {"observedGeneration": generation, "state": state, "conditions": list(conditions), **fields}


def ready(*, generation: int = 1, **fields: Any) -> Manifest:
    return status("Ready", condition("Ready", "True", "PodsReady"), serving(), generation=generation, **fields)


def rolling_out(*others: Manifest, generation: int = 1, **fields: Any) -> Manifest:
    conditions = (condition("Ready", "False", "RollingOut"), condition("Reconciling", "True", "RollingOut"), *others)
    return status(fields.pop("state", "Progressing"), *conditions, generation=generation, **fields)


def stalled(reason: str, *, generation: int = 1) -> Manifest:
    return status("Stalled", condition("Ready", "False", reason), condition("Stalled", "True", reason), generation=generation)


def serving() -> Manifest:
    return condition("Available", "True", "PodsServing")


def not_serving() -> Manifest:
    return condition("Available", "False", "NoReadyPods")


MISSED = condition("SLOMet", "False", "ObjectivesMissed")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (ready(), ready(), Urgency.NOTHING),
        (BORN, rolling_out(not_serving(), state="Pending"), Urgency.ROLLOUT),
        (BORN, ready(), Urgency.NOW),
        (BORN, stalled("Conflict"), Urgency.NOW),
        (
            BORN,
            status("Pending", condition("Ready", "False", "WaitingForSecret"), condition("Reconciling", "True", "WaitingForSecret")),
            Urgency.NOW,
        ),
        (BORN, rolling_out(condition("CredentialsValid", "False", "KeyRejected")), Urgency.NOW),
        (BORN, rolling_out(condition("CredentialsValid", "Unknown", "NoReport")), Urgency.ROLLOUT),
        (ready(), rolling_out(serving(), generation=2), Urgency.ROLLOUT),
        (ready(), ready(generation=2), Urgency.NOW),
        (ready(), rolling_out(not_serving(), generation=2), Urgency.NOW),
        (ready(), status("Stopped", condition("Ready", "True", "ScaledToZero"), generation=2), Urgency.NOW),
        (stalled("KeyRejected"), rolling_out(generation=2), Urgency.NOW),
        (ready(), rolling_out(serving()), Urgency.NOW),
        (rolling_out(not_serving()), rolling_out(serving()), Urgency.PROGRESS),
        (rolling_out(readyReplicas=1), rolling_out(readyReplicas=2), Urgency.PROGRESS),
        (rolling_out(), ready(), Urgency.NOW),
        (rolling_out(), stalled("ImagePullFailed"), Urgency.NOW),
        (stalled("ImagePullFailed"), stalled("KeyRejected"), Urgency.NOW),
        (stalled("ImagePullFailed"), ready(), Urgency.NOW),
        (ready(), ready() | {"state": "Degraded"}, Urgency.NOW),
        (ready() | {"state": "Degraded"}, ready(), Urgency.NOW),
        (ready(slo={"p95Milliseconds": 900}), ready(slo={"p95Milliseconds": 950}), Urgency.FIGURES),
        (ready(), ready(slo={"p95Milliseconds": 9000}) | {"conditions": [*ready()["conditions"], MISSED]}, Urgency.FIGURES),
        (BORN, rolling_out(MISSED), Urgency.ROLLOUT),
        (ready(usage={"inputTokens": 1}), ready(usage={"inputTokens": 2}, readyReplicas=3), Urgency.PROGRESS),
    ],
)
def test_what_somebody_must_know_is_written_at_once(old: Manifest, new: Manifest, expected: Urgency) -> None:
    assert urgency(old, new) is expected


@pytest.fixture
def reporting(clock: Clock) -> Reporting:
    return Reporting(clock=clock)


def due(reporting: Reporting, old: Manifest, new: Manifest) -> float | None:
    return reporting.seconds_until_due(KEY, old, new, min_ready_seconds=5)


def test_rollout_that_moves_on_is_not_told_before_it_takes_long(reporting: Reporting, clock: Clock) -> None:
    assert due(reporting, BORN, rolling_out(readyReplicas=0)) == STILL_SECONDS + 5
    clock.now += 9
    assert due(reporting, BORN, rolling_out(readyReplicas=1)) == STILL_SECONDS + 5
    clock.now += 9
    assert due(reporting, BORN, rolling_out(readyReplicas=2)) == STILL_SECONDS + 5
    clock.now += 9
    assert due(reporting, BORN, rolling_out(readyReplicas=3)) == LONG_SECONDS - 27
    assert due(reporting, BORN, ready()) == 0


def test_rollout_that_stands_still_is_told(reporting: Reporting, clock: Clock) -> None:
    due(reporting, BORN, rolling_out())
    clock.now += STILL_SECONDS + 5

    assert due(reporting, BORN, rolling_out()) == 0


def test_rollout_among_many_is_given_more_time_until_it_is_over(reporting: Reporting, clock: Clock) -> None:
    others = [ResourceKey("team", f"bot-{number}") for number in range(100)]
    for other in others:
        reporting.seconds_until_due(other, BORN, rolling_out(), min_ready_seconds=5)
    assert due(reporting, BORN, rolling_out()) == STILL_SECONDS + 5 + 100 * CROWD_SECONDS

    for other in others:
        reporting.written(other)
    clock.now += STILL_SECONDS + 5

    assert due(reporting, BORN, rolling_out()) == 100 * CROWD_SECONDS


def test_however_many_there_are_a_rollout_is_told_in_the_end(reporting: Reporting) -> None:
    for number in range(1000):
        reporting.seconds_until_due(ResourceKey("team", f"bot-{number}"), BORN, rolling_out(), min_ready_seconds=5)

    assert due(reporting, BORN, rolling_out()) == STILL_SECONDS + 5 + MOST_PATIENCE_SECONDS


def test_next_generation_starts_a_rollout_of_its_own(reporting: Reporting, clock: Clock) -> None:
    due(reporting, BORN, rolling_out())
    clock.now += STILL_SECONDS + 4

    assert due(reporting, BORN, rolling_out(generation=2)) == STILL_SECONDS + 5


def test_counts_are_written_now_and_then_and_figures_once_a_minute(reporting: Reporting, clock: Clock) -> None:
    assert due(reporting, ready(readyReplicas=1), ready(readyReplicas=2)) == 0
    reporting.written(KEY)
    clock.now += 5

    assert due(reporting, ready(readyReplicas=2), ready(readyReplicas=3)) == PROGRESS_SECONDS - 5
    assert due(reporting, ready(slo={"samples": 1}), ready(slo={"samples": 2})) == FIGURES_SECONDS - 5
    assert due(reporting, ready(), ready()) is None
    assert due(reporting, rolling_out(), ready()) == 0


def test_counts_of_a_rollout_that_was_told_are_told_again_after_as_long(reporting: Reporting, clock: Clock) -> None:
    reporting.written(KEY)
    clock.now += 5
    assert due(reporting, rolling_out(readyReplicas=2), rolling_out(readyReplicas=3)) == LONG_SECONDS - 5

    reporting.seconds_until_due(ResourceKey("team", "other"), BORN, rolling_out(), min_ready_seconds=5)
    assert due(reporting, rolling_out(readyReplicas=2), rolling_out(readyReplicas=3)) == pytest.approx(LONG_SECONDS + CROWD_SECONDS - 5)


def test_what_is_gone_is_forgotten(reporting: Reporting) -> None:
    reporting.written(KEY)
    reporting.forget(KEY)

    assert due(reporting, rolling_out(readyReplicas=1), rolling_out(readyReplicas=2)) == 0
