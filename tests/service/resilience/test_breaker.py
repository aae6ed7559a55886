"""The breaker by its rules, one by one, and under random histories against a model of it that is built otherwise."""

import os
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chatbot_service.errors import CircuitOpen
from chatbot_service.resilience.breaker import Breaker, BreakerState, Permit

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
THRESHOLD = 5
RESET_SECONDS = 30.0


class World:
    """A breaker, the time it is told, the chance it draws, and every state it went through."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.chance = 0.0
        self.states: list[BreakerState] = []
        self.breaker = Breaker(
            "model",
            threshold=THRESHOLD,
            reset_seconds=RESET_SECONDS,
            clock=lambda: self.now,
            random=lambda: self.chance,
            on_transition=lambda breaker: self.states.append(breaker.state),
        )

    def fail(self, times: int) -> None:
        for _ in range(times):
            self.breaker.admit().fail()

    def half_open(self) -> Permit:
        """Open it, let it rest, and return the probe's permit."""
        self.fail(THRESHOLD)
        self.now += RESET_SECONDS
        return self.breaker.admit()

    def rejects(self) -> bool:
        try:
            self.breaker.admit()
        except CircuitOpen:
            return True
        return False


@pytest.fixture
def world() -> World:
    return World()


def test_the_fifth_failure_in_a_row_opens_it(world: World) -> None:
    world.fail(4)
    assert (world.breaker.state, world.breaker.trips, world.breaker.rejecting) == (CLOSED, 0, False)

    world.fail(1)

    assert (world.breaker.state, world.breaker.trips, world.breaker.rejecting) == (OPEN, 1, True)
    assert world.states == [OPEN]


def test_a_success_begins_the_count_anew(world: World) -> None:
    world.fail(4)
    world.breaker.admit().succeed()
    world.fail(4)

    assert world.breaker.state is CLOSED


def test_what_says_nothing_neither_counts_nor_begins_anew(world: World) -> None:
    world.fail(4)
    world.breaker.admit().abandon()
    assert world.breaker.state is CLOSED

    world.fail(1)

    assert world.breaker.state is OPEN


def test_results_count_in_the_order_in_which_they_come(world: World) -> None:
    permits = [world.breaker.admit() for _ in range(6)]

    permits[5].succeed()
    for permit in permits[:5]:
        permit.fail()

    assert world.breaker.state is OPEN


def test_a_closed_breaker_judges_an_attempt_at_its_end_alone(world: World) -> None:
    world.fail(4)
    permit = world.breaker.admit()

    permit.content_came()
    permit.fail()

    assert world.breaker.state is OPEN


def test_an_attempt_has_one_result(world: World) -> None:
    permit = world.breaker.admit()

    for _ in range(THRESHOLD):
        permit.fail()

    assert world.breaker.state is CLOSED


@pytest.mark.parametrize(("chance", "rest"), [(0.0, 30.0), (0.5, 31.5), (0.999, 32.997)])
def test_it_rests_for_thirty_seconds_and_a_tenth_more_at_most(world: World, chance: float, rest: float) -> None:
    world.chance = chance
    world.fail(THRESHOLD)

    world.now += 20
    with pytest.raises(CircuitOpen) as rejection:
        world.breaker.admit()
    assert rejection.value.retry_after_seconds == pytest.approx(rest - 20)

    world.now += rest - 20 - 0.001
    assert world.rejects()
    world.now += 0.002
    assert not world.rejects()


def test_a_thousand_callers_at_half_open_are_one_probe(world: World) -> None:
    world.fail(THRESHOLD)
    world.now += RESET_SECONDS

    rejected = [world.rejects() for _ in range(1000)]

    assert rejected == [False] + [True] * 999
    assert world.states == [OPEN, HALF_OPEN]


@pytest.mark.parametrize("succeed", [Permit.content_came, Permit.succeed], ids=["first content", "whole answer"])
def test_a_probe_that_succeeds_closes_it(world: World, succeed: Callable[[Permit], None]) -> None:
    probe = world.half_open()

    succeed(probe)

    assert world.states == [OPEN, HALF_OPEN, CLOSED]
    assert not world.rejects()


def test_a_probe_that_breaks_after_its_first_content_has_closed_it(world: World) -> None:
    probe = world.half_open()
    probe.content_came()

    probe.fail()
    world.fail(4)

    assert world.breaker.state is CLOSED


def test_a_probe_that_fails_opens_it_for_another_rest(world: World) -> None:
    world.half_open().fail()

    assert (world.breaker.state, world.breaker.trips) == (OPEN, 2)
    world.now += RESET_SECONDS - 0.001
    assert world.rejects()
    world.now += 0.002
    assert not world.rejects()


def test_a_probe_that_is_abandoned_leaves_its_place_to_the_next(world: World) -> None:
    probe = world.half_open()
    assert world.rejects()

    probe.abandon()

    assert world.breaker.state is HALF_OPEN
    assert [world.rejects() for _ in range(3)] == [False, True, True]
    probe.abandon()
    assert world.rejects()


def test_while_a_probe_is_out_a_second_is_advised(world: World) -> None:
    world.half_open()

    with pytest.raises(CircuitOpen) as rejection:
        world.breaker.admit()

    assert rejection.value.retry_after == 1


def test_what_began_before_the_last_transition_says_nothing(world: World) -> None:
    stragglers = [world.breaker.admit() for _ in range(12)]
    probe = world.half_open()

    stragglers[0].succeed()
    stragglers[1].fail()
    stragglers[2].content_came()
    stragglers[3].abandon()
    assert (world.breaker.state, world.rejects()) == (HALF_OPEN, True)

    probe.succeed()
    for straggler in stragglers[4:]:
        straggler.fail()
    assert world.breaker.state is CLOSED


class Model:
    """What the design says, told as a history: which attempts may still speak, and what they have said since the last transition."""

    def __init__(self) -> None:
        self.history = [CLOSED]
        self.speaking: set[int] = set()
        self.said: list[bool] = []
        self.probe: int | None = None
        self.opened_at = 0.0
        self.rest = 0.0

    @property
    def state(self) -> BreakerState:
        return self.history[-1]

    def move(self, state: BreakerState) -> None:
        self.history.append(state)
        self.speaking.clear()
        self.said.clear()
        self.probe = None

    def admits(self, now: float) -> bool:
        return {
            CLOSED: True,
            OPEN: now - self.opened_at >= self.rest,
            HALF_OPEN: self.probe is None,
        }[self.state]

    def begin(self, attempt: int) -> None:
        if self.state is OPEN:
            self.move(HALF_OPEN)
        if self.state is HALF_OPEN:
            self.probe = attempt
        self.speaking.add(attempt)

    def end(self, attempt: int, *, well: bool, now: float, chance: float) -> None:
        if attempt not in self.speaking:
            return
        self.speaking.discard(attempt)
        self.said.append(well)
        if attempt == self.probe and well:
            self.move(CLOSED)
        elif attempt == self.probe or self.said[-THRESHOLD:] == [False] * THRESHOLD:
            self.move(OPEN)
            self.opened_at, self.rest = now, RESET_SECONDS + RESET_SECONDS * chance / 10

    def content(self, attempt: int) -> None:
        if attempt == self.probe:
            self.move(CLOSED)

    def leave(self, attempt: int) -> None:
        self.speaking.discard(attempt)
        if attempt == self.probe:
            self.probe = None


class BreakerMachine(RuleBasedStateMachine):
    """Attempts begin and end in any order, some never; failures are frequent, so that it opens often."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.model = Model()
        self.permits: list[Permit] = []
        self.running: list[int] = []

    @rule()
    def begin(self) -> None:
        admitted = self.model.admits(self.world.now)
        assert self.world.breaker.rejecting is not admitted

        if not admitted:
            with pytest.raises(CircuitOpen) as rejection:
                self.world.breaker.admit()
            assert (rejection.value.retry_after_seconds or 0) > 0
            return
        self.model.begin(len(self.permits))
        self.running.append(len(self.permits))
        self.permits.append(self.world.breaker.admit())

    def ending(self, choice: int) -> int:
        return self.running.pop(choice % len(self.running))

    @precondition(lambda self: self.running)
    @rule(choice=st.integers(0, 7))
    def fail(self, choice: int) -> None:
        attempt = self.ending(choice)
        self.permits[attempt].fail()
        self.model.end(attempt, well=False, now=self.world.now, chance=self.world.chance)

    @rule()
    def begin_and_fail(self) -> None:
        if self.model.admits(self.world.now):
            self.begin()
            self.fail(len(self.running) - 1)

    @precondition(lambda self: self.running)
    @rule(choice=st.integers(0, 7))
    def succeed(self, choice: int) -> None:
        attempt = self.ending(choice)
        self.permits[attempt].succeed()
        self.model.end(attempt, well=True, now=self.world.now, chance=self.world.chance)

    @precondition(lambda self: self.running)
    @rule(choice=st.integers(0, 7))
    def content_comes(self, choice: int) -> None:
        attempt = self.running[choice % len(self.running)]
        self.permits[attempt].content_came()
        self.model.content(attempt)

    @precondition(lambda self: self.running)
    @rule(choice=st.integers(0, 7))
    def abandon(self, choice: int) -> None:
        attempt = self.ending(choice)
        self.permits[attempt].abandon()
        self.model.leave(attempt)

    @precondition(lambda self: len(self.permits) > len(self.running))
    @rule(choice=st.integers(0, 7))
    def an_ended_attempt_speaks_again(self, choice: int) -> None:
        ended = [number for number in range(len(self.permits)) if number not in self.running][-8:]
        permit = self.permits[ended[choice % len(ended)]]
        permit.fail()
        permit.succeed()
        permit.abandon()

    @rule(seconds=st.sampled_from([0.25, 14.0, RESET_SECONDS, 33.0]), eighths=st.integers(0, 7))
    def time_passes(self, seconds: float, eighths: int) -> None:
        self.world.now += seconds
        self.world.chance = eighths / 8

    @invariant()
    def both_agree(self) -> None:
        assert [CLOSED, *self.world.states] == self.model.history
        assert self.world.breaker.state is self.model.state
        assert self.world.breaker.trips == self.model.history.count(OPEN)
        assert self.world.breaker.rejecting is not self.model.admits(self.world.now)


TestHistories = BreakerMachine.TestCase
TestHistories.settings = settings(max_examples=500 if os.environ.get("SOAK") else 40, stateful_step_count=200)
