"""Rate limits by their rules, and against a model that keeps every request of every client."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_service.errors import RateLimited
from chatbot_service.resilience.limits import SECOND, Clients, Limits


class World:
    """Limits, the time they are told, and whose limit refused."""

    def __init__(self, per_second: int, per_client: int | None = None) -> None:
        self.now = 1_000 * SECOND
        self.refusals: list[str] = []
        self.limits = Limits(per_second, per_client_per_second=per_client, clock=lambda: self.now, on_refused=self.refusals.append)

    def admitted(self, number: int, client: str = "a") -> int:
        """Send so many requests at once; return how many are let in."""
        return sum(self.lets_in(client) for _ in range(number))

    def lets_in(self, client: str) -> bool:
        try:
            self.limits.admit(client)
        except RateLimited:
            return False
        return True

    def pass_seconds(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)


@pytest.mark.parametrize("per_second", [1, 3, 7, 100, 999])
def test_as_many_as_the_limit_come_in_at_once_and_no_more(per_second: int) -> None:
    world = World(per_second)

    assert world.admitted(2 * per_second) == per_second
    assert set(world.refusals) == {"pod"}


def test_after_a_second_there_is_room_again_and_after_a_while_for_no_more_than_that() -> None:
    world = World(10)
    world.admitted(10)

    world.pass_seconds(0.3)
    assert world.admitted(10) == 3

    world.pass_seconds(3_600)
    assert world.admitted(20) == 10


def test_a_refusal_says_when_to_come_again() -> None:
    world = World(2)
    world.admitted(2)

    with pytest.raises(RateLimited) as caught:
        world.limits.admit("a")

    assert caught.value.retry_after_seconds == 0.5
    assert caught.value.retry_after == 1
    world.pass_seconds(0.5)
    assert world.admitted(1) == 1


def test_one_client_does_not_take_the_others_share() -> None:
    world = World(100, per_client=5)

    assert world.admitted(1_000, "greedy") == 5
    assert set(world.refusals) == {"client"}
    assert world.admitted(5, "modest") == 5
    assert world.admitted(90, "another") == 5


def test_what_the_client_may_not_costs_the_pod_nothing() -> None:
    world = World(10, per_client=5)

    world.admitted(1_000, "greedy")

    assert world.admitted(5, "modest") == 5


def test_what_the_pod_may_not_costs_the_client_nothing() -> None:
    world = World(10, per_client=5)
    world.admitted(5, "a")
    world.admitted(5, "b")

    assert world.admitted(5, "late") == 0
    assert world.refusals == ["pod"] * 5

    world.pass_seconds(0.5)
    assert world.admitted(5, "late") == 5


def test_a_flood_of_clients_is_forgotten() -> None:
    world = World(100, per_client=1)

    for number in range(20_000):
        world.lets_in(f"client {number}")
        world.pass_seconds(0.001)

    assert len(world.limits._clients) <= 4 * 100


@pytest.mark.parametrize("hundredths", range(0, 100, 7))
def test_a_client_is_not_forgotten_before_its_time(hundredths: int) -> None:
    world = World(1_000, per_client=1)
    world.lets_in("somebody else")
    world.pass_seconds(hundredths / 100)
    assert world.lets_in("a")

    for _ in range(99):
        world.pass_seconds(0.01)
        world.lets_in("somebody else")
        assert not world.lets_in("a")

    world.pass_seconds(0.01)
    assert world.lets_in("a")


def test_moments_that_are_over_are_all_that_is_dropped() -> None:
    clients = Clients()
    clients.through("a", SECOND)
    clients.let_in("a", 3 * SECOND)

    assert clients.through("a", 2 * SECOND) == 3 * SECOND
    assert clients.through("a", 3 * SECOND) <= 3 * SECOND
    assert len(clients) == 0


class Bucket:
    """The model of one limit: a bucket of n, full at first, into which n a second flow."""

    def __init__(self, per_second: int) -> None:
        self._capacity = self.content = Fraction(per_second)

    def pass_seconds(self, seconds: Fraction) -> None:
        self.content = min(self._capacity, self.content + self._capacity * seconds)


@given(
    st.sampled_from([1, 2, 4, 8, 20]),
    st.sampled_from([1, 2, 4]),
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0, 1, 50, 125, 250, 333, 1_000, 5_000])), max_size=80),
)
def test_it_decides_as_buckets_would(per_second: int, per_client: int, visits: list[tuple[str, int]]) -> None:
    world = World(per_second, per_client)
    pod, clients = Bucket(per_second), {client: Bucket(per_client) for client in "abc"}

    for client, milliseconds in visits:
        world.now += milliseconds * SECOND // 1_000
        for bucket in (pod, *clients.values()):
            bucket.pass_seconds(Fraction(milliseconds, 1_000))
        may = pod.content >= 1 and clients[client].content >= 1

        assert world.lets_in(client) == may
        if may:
            pod.content -= 1
            clients[client].content -= 1
