"""The retry budget: exact bounds, whatever the order of requests and retries."""

from hypothesis import given
from hypothesis import strategies as st

from chatbot_service.resilience.budget import RetryBudget


def taken(budget: RetryBudget) -> int:
    """Return how many retries there are, taking them all."""
    count = 0
    while budget.take():
        count += 1
    return count


def test_it_begins_with_ten_retries() -> None:
    assert taken(RetryBudget(percent=20)) == 10


def test_five_requests_at_twenty_percent_earn_exactly_one_retry() -> None:
    budget = RetryBudget(percent=20)
    taken(budget)

    earned = []
    for _ in range(10):
        budget.add_request()
        earned.append(budget.take())

    assert earned == [False, False, False, False, True] * 2


def test_never_more_than_ten_are_saved_up() -> None:
    budget = RetryBudget(percent=100)
    for _ in range(1000):
        budget.add_request()

    assert taken(budget) == 10


def test_zero_percent_earns_nothing() -> None:
    budget = RetryBudget(percent=0)
    taken(budget)
    for _ in range(1000):
        budget.add_request()

    assert not budget.take()


@given(percent=st.integers(0, 100), history=st.lists(st.booleans(), max_size=200))
def test_retries_never_exceed_the_share_of_the_requests_plus_ten(percent: int, history: list[bool]) -> None:
    budget = RetryBudget(percent=percent)
    requests = retries = 0

    for is_request in history:
        if is_request:
            budget.add_request()
            requests += 1
        else:
            retries += budget.take()

        assert 100 * retries <= percent * requests + 1000
