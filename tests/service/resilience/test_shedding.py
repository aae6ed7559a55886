"""Slots by their rules, one by one, and under random histories whose steps fall between any two turns of the event loop."""

import asyncio
import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chatbot_service.errors import Busy
from chatbot_service.resilience.shedding import Slots
from tests.service.still_loop import StillLoop

CAPACITY = 2
QUEUE_SIZE = 3
TIMEOUT_SECONDS = 5.0


class Visit:
    """One request: it comes, waits for a slot, holds it until it is told to end."""

    def __init__(self, slots: Slots, loop: StillLoop) -> None:
        self._slots = slots
        self._loop = loop
        self._end = asyncio.Event()
        self.came = float("inf")
        self.served = False
        self.task = loop.create_task(self._run())

    async def _run(self) -> None:
        self.came = self._loop.now
        with await self._slots.taken():
            self.served = True
            await self._end.wait()

    def end(self) -> None:
        self._end.set()

    @property
    def active(self) -> bool:
        return self.served and not self.task.done()

    @property
    def waiting(self) -> bool:
        return not self.served and not self.task.done()

    @property
    def refused(self) -> bool:
        return self.task.done() and not self.task.cancelled() and isinstance(self.task.exception(), Busy)


class Place:
    """Two slots, three places in the queue, five seconds."""

    def __init__(self) -> None:
        self.loop = StillLoop()
        self.refusals: list[str] = []
        self.slots = Slots(CAPACITY, queue_size=QUEUE_SIZE, queue_timeout_seconds=TIMEOUT_SECONDS, on_refused=self.refusals.append)

    def visit(self, number: int = 1) -> list[Visit]:
        visits = [Visit(self.slots, self.loop) for _ in range(number)]
        self.loop.settle()
        return visits

    @property
    def state(self) -> tuple[int, int]:
        return self.slots.in_flight, self.slots.queued


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place()
    yield place
    place.loop.end()


def test_a_free_slot_is_taken_without_waiting_for_the_loop(place: Place) -> None:
    entering = place.slots.taken()

    with pytest.raises(StopIteration):
        next(entering.__await__())
    assert place.state == (1, 0)


def test_more_than_the_capacity_waits_and_more_than_the_queue_is_refused(place: Place) -> None:
    visits = place.visit(CAPACITY + QUEUE_SIZE + 1)

    assert [visit.active for visit in visits] == [True, True, False, False, False, False]
    assert [visit.waiting for visit in visits] == [False, False, True, True, True, False]
    assert visits[-1].refused
    assert place.state == (2, 3)
    assert place.refusals == ["queue_full"]


def test_what_would_be_refused_is_told_before_it_comes(place: Place) -> None:
    place.visit(CAPACITY + QUEUE_SIZE - 1)
    place.slots.check()

    place.visit()

    with pytest.raises(Busy) as caught:
        place.slots.check()
    assert caught.value.retry_after == 1
    assert place.refusals == ["queue_full"]


async def test_without_a_queue_the_slots_are_all_there_is() -> None:
    refusals: list[str] = []
    slots = Slots(1, queue_size=0, queue_timeout_seconds=TIMEOUT_SECONDS, on_refused=refusals.append)
    slots.check()

    with await slots.taken(), pytest.raises(Busy):
        await slots.taken()

    assert (slots.in_flight, refusals) == (0, ["queue_full"])


def test_first_come_first_served(place: Place) -> None:
    first, second, third, fourth, _ = place.visit(CAPACITY + QUEUE_SIZE)

    second.end()
    place.loop.settle()
    assert (third.active, fourth.active) == (True, False)

    first.end()
    place.loop.settle()
    assert fourth.active
    assert place.state == (2, 1)


def test_a_slot_that_is_handed_over_cannot_be_snatched(place: Place) -> None:
    first, _, waiting = place.visit(CAPACITY + 1)
    late = Visit(place.slots, place.loop)

    first.end()
    place.loop.settle()

    assert (waiting.active, late.active) == (True, False)


def test_who_waits_too_long_is_refused_and_leaves_its_place(place: Place) -> None:
    visits = place.visit(CAPACITY + 1)

    place.loop.now += TIMEOUT_SECONDS - 0.1
    place.loop.settle()
    assert visits[-1].waiting

    place.loop.now += 0.2
    place.loop.settle()
    assert visits[-1].refused
    assert place.state == (2, 0)
    assert place.refusals == ["queue_timeout"]


def test_who_leaves_the_queue_leaves_its_place(place: Place) -> None:
    first, _, leaving, staying = place.visit(CAPACITY + 2)

    leaving.task.cancel()
    place.loop.settle()
    assert place.state == (2, 1)

    first.end()
    place.loop.settle()
    assert staying.active


def test_a_slot_given_to_somebody_who_is_just_leaving_goes_to_the_next(place: Place) -> None:
    first, _, leaving, staying = place.visit(CAPACITY + 2)

    first.end()
    while place.slots.queued == QUEUE_SIZE - 1:
        place.loop.turn()  # until the slot is given, but not yet taken
    leaving.task.cancel()
    place.loop.settle()

    assert leaving.task.cancelled()
    assert staying.active
    assert place.state == (2, 0)


def test_a_slot_given_to_the_last_who_is_just_leaving_is_free(place: Place) -> None:
    first, _, leaving = place.visit(CAPACITY + 1)

    first.end()
    while place.slots.queued:
        place.loop.turn()
    leaving.task.cancel()
    place.loop.settle()

    assert place.state == (1, 0)


def test_a_slot_passes_over_who_has_left_in_the_same_moment(place: Place) -> None:
    first, _, leaving, staying = place.visit(CAPACITY + 2)

    first.end()
    leaving.task.cancel()
    place.loop.settle()

    assert staying.active
    assert first.task.exception() is None


def test_who_leaves_in_the_moment_of_its_refusal_frees_nothing(place: Place) -> None:
    *_, leaving = place.visit(CAPACITY + 1)

    place.loop.now += TIMEOUT_SECONDS
    place.loop.turn()
    leaving.task.cancel()
    place.loop.settle()

    assert leaving.task.cancelled()
    assert place.state == (2, 0)


def test_no_timer_outlives_the_wait(place: Place) -> None:
    first, _, served, leaving = place.visit(CAPACITY + 2)

    first.end()
    leaving.task.cancel()
    place.loop.settle()

    assert served.active
    assert [timer.cancelled() for timer in place.loop.timers] == [True, True]


def test_an_error_within_gives_the_slot_back(place: Place) -> None:
    async def fail() -> None:
        with await place.slots.taken():
            raise ValueError

    failing = place.loop.create_task(fail())
    place.loop.settle()

    assert isinstance(failing.exception(), ValueError)
    assert place.state == (0, 0)


class Histories(RuleBasedStateMachine):
    """Requests come, end, leave and grow old in any order, any number of them between two turns of the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = StillLoop()
        self.visits: list[Visit] = []
        self.slots = Slots(CAPACITY, queue_size=QUEUE_SIZE, queue_timeout_seconds=TIMEOUT_SECONDS, on_refused=self.refuse)

    def refuse(self, reason: str) -> None:
        if reason == "queue_full":
            assert (self.slots.in_flight, self.slots.queued) == (CAPACITY, QUEUE_SIZE)
        else:
            assert any(visit.waiting and self.loop.now - visit.came >= TIMEOUT_SECONDS for visit in self.visits)

    def those(self, condition: Callable[[Visit], bool]) -> list[Visit]:
        return [visit for visit in self.visits if condition(visit)]

    @rule()
    def come(self) -> None:
        self.visits.append(Visit(self.slots, self.loop))

    @precondition(lambda self: self.those(lambda visit: visit.active))
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.those(lambda visit: visit.active))).end()

    @precondition(lambda self: self.those(lambda visit: not visit.task.done()))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.those(lambda visit: not visit.task.done()))).task.cancel()

    @rule()
    def turn(self) -> None:
        self.loop.turn()

    @rule(seconds=st.floats(0.1, TIMEOUT_SECONDS))
    def grow_old(self, seconds: float) -> None:
        self.loop.now += seconds

    @rule()
    def settle(self) -> None:
        """Nobody waits for what is free, nobody is overtaken, nobody waits for ever, and the counts are true."""
        self.loop.settle()

        active, waiting = self.those(lambda visit: visit.active), self.those(lambda visit: visit.waiting)
        assert (self.slots.in_flight, self.slots.queued) == (len(active), len(waiting))
        assert not waiting or len(active) == CAPACITY
        served = [number for number, visit in enumerate(self.visits) if visit.served]
        assert not waiting or not served or max(served) < self.visits.index(waiting[0])
        assert all(self.loop.now - visit.came < TIMEOUT_SECONDS for visit in waiting)

    @invariant()
    def never_more_than_there_are(self) -> None:
        assert len(self.those(lambda visit: visit.active)) <= CAPACITY
        assert self.slots.in_flight <= CAPACITY
        assert self.slots.queued <= QUEUE_SIZE

    def teardown(self) -> None:
        for _ in range(len(self.visits) + 1):
            for visit in self.those(lambda visit: visit.active):
                visit.end()
            self.loop.settle()
        for visit in self.visits:
            assert visit.task.done()
            assert visit.task.cancelled() or visit.refused or visit.task.exception() is None
        assert (self.slots.in_flight, self.slots.queued) == (0, 0)
        self.loop.close()


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=2_000 if os.environ.get("SOAK") else 40, stateful_step_count=50)
