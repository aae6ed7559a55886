"""Which failures are tried again and after which wait, as a table and as bounds that hold for every draw."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_service.errors import (
    UpstreamFailed,
    UpstreamGarbage,
    UpstreamOverloaded,
    UpstreamProblem,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamRefusedRequest,
    UpstreamRefusedSize,
    UpstreamSpent,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from chatbot_service.resilience.retry import RetryPolicy

POLICY = RetryPolicy(max_attempts=3, initial_backoff_seconds=1, max_backoff_seconds=10, least_seconds=1)
LONG = RetryPolicy(max_attempts=10, initial_backoff_seconds=1, max_backoff_seconds=10, least_seconds=1)


def wait(problem: UpstreamProblem, attempt: int = 1, *, left: float = 30, chance: float = 0.5) -> float | None:
    return POLICY.wait_seconds(problem, attempt, left_seconds=left, chance=chance)


@pytest.mark.parametrize("kind", [UpstreamFailed, UpstreamUnreachable, UpstreamGarbage, UpstreamOverloaded, UpstreamTimeout])
def test_what_may_pass_is_tried_again(kind: type[UpstreamProblem]) -> None:
    assert wait(kind("x")) == 0.5


@pytest.mark.parametrize(
    "kind", [UpstreamProblem, UpstreamRefused, UpstreamRefusedRequest, UpstreamRefusedSize, UpstreamRateLimited, UpstreamSpent]
)
def test_what_stays_is_not(kind: type[UpstreamProblem]) -> None:
    assert wait(kind("x")) is None


def test_a_redirect_leads_to_the_same_place_again() -> None:
    assert wait(UpstreamFailed("x", upstream_status=307)) is None


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (UpstreamFailed("x", should_retry=False), None),
        (UpstreamOverloaded("x", should_retry=False), None),
        (UpstreamRefusedRequest("x", should_retry=True), 0.5),
        (UpstreamRateLimited("x", should_retry=False, retry_after_seconds=2), None),
        (UpstreamRateLimited("x", should_retry=True, retry_after_seconds=2), 2.1),
        (UpstreamRateLimited("x", should_retry=True), None),
        (UpstreamRateLimited("x", should_retry=True, retry_after_seconds=11), None),
        (UpstreamSpent("x", should_retry=True, retry_after_seconds=2), None),
    ],
    ids=["5xx", "529", "400", "429", "429 with a time", "429 without", "429 too long", "spent"],
)
def test_the_apis_own_word_counts_but_for_a_429_without_a_near_time(problem: UpstreamProblem, expected: float | None) -> None:
    assert wait(problem) == pytest.approx(expected) if expected else wait(problem) is None


@pytest.mark.parametrize(
    ("retry_after", "left", "retried"),
    [(0, 30, True), (10, 30, True), (10.001, 30, False), (5, 6, True), (5, 5.999, False), (3600, 30, False)],
)
def test_a_429_is_tried_again_if_its_time_is_near(retry_after: float, left: float, *, retried: bool) -> None:
    waited = wait(UpstreamRateLimited("x", retry_after_seconds=retry_after), left=left)

    assert (waited is not None) is retried


@pytest.mark.parametrize(("retry_after", "waited"), [(20, 21), (27, 28), (29, 29), (29.001, None)])
def test_another_failures_retry_after_is_bounded_by_the_deadline_alone(retry_after: float, waited: float | None) -> None:
    assert wait(UpstreamFailed("x", retry_after_seconds=retry_after)) == waited


@pytest.mark.parametrize("kind", [UpstreamOverloaded, UpstreamRateLimited])
def test_a_time_that_is_over_is_no_reason_to_come_back_at_once(kind: type[UpstreamProblem]) -> None:
    assert wait(kind("x", retry_after_seconds=0.0)) == 0.5


def test_attempts_are_counted_in_all() -> None:
    assert [wait(UpstreamFailed("x"), attempt) is None for attempt in (1, 2, 3, 4)] == [False, False, True, True]


def test_a_single_attempt_can_be_asked_for() -> None:
    policy = RetryPolicy(max_attempts=1, initial_backoff_seconds=1, max_backoff_seconds=10, least_seconds=1)

    assert policy.wait_seconds(UpstreamFailed("x"), 1, left_seconds=30, chance=0.5) is None


def test_the_backoffs_bound_doubles_up_to_its_maximum() -> None:
    waits = [LONG.wait_seconds(UpstreamFailed("x"), attempt, left_seconds=30, chance=0.5) for attempt in range(1, 7)]

    assert waits == [0.5, 1, 2, 4, 5, 5]


@pytest.mark.parametrize(("left", "waited"), [(1.5, 0.25), (1.0, 0.0), (0.999, None), (-1, None)])
def test_no_attempt_begins_with_less_than_a_second_left(left: float, waited: float | None) -> None:
    assert wait(UpstreamFailed("x"), left=left) == waited


times = st.floats(0, 1e6)


@given(
    kind=st.sampled_from([UpstreamFailed, UpstreamOverloaded, UpstreamRateLimited, UpstreamRefused, UpstreamTimeout]),
    retry_after=st.none() | times,
    should_retry=st.none() | st.booleans(),
    attempt=st.integers(1, 12),
    left=times,
    chance=st.floats(0, 1, exclude_max=True),
)
def test_a_wait_is_never_less_than_asked_and_never_longer_than_there_is_time(
    *, kind: type[UpstreamProblem], retry_after: float | None, should_retry: bool | None, attempt: int, left: float, chance: float
) -> None:
    problem = kind("x", retry_after_seconds=retry_after, should_retry=should_retry)

    waited = LONG.wait_seconds(problem, attempt, left_seconds=left, chance=chance)

    if waited is None:
        return
    assert attempt < 10
    assert 0 <= waited <= left - 1 + 1e-9
    if not retry_after:
        assert waited <= min(2 ** (attempt - 1), 10)
    else:
        assert retry_after <= waited <= retry_after * 1.1 + 1e-9
