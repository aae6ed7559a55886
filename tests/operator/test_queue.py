import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chatbot_operator.queue import URGENT_STREAK, Lane, Queue
from tests.clock import Clock

KEYS = st.sampled_from("abcd")
LANES = st.sampled_from(Lane)


@pytest.fixture
def queue(clock: Clock) -> Queue[str]:
    return Queue(clock=clock, jitter=lambda: 1.0, backoff_base_seconds=1, backoff_cap_seconds=10)


def test_key_added_twice_is_handed_out_once(queue: Queue[str]) -> None:
    queue.add("a")
    queue.add("a", lane=Lane.ROUTINE)

    assert queue.pop() == "a"
    assert queue.pop() is None


def test_key_added_during_work_is_handed_out_again_only_after_it(queue: Queue[str]) -> None:
    queue.add("a")
    queue.pop()
    queue.add("a")

    assert queue.pop() is None
    queue.done("a")
    assert queue.pop() == "a"


def test_urgent_addition_moves_a_routine_key_forward(queue: Queue[str]) -> None:
    queue.add("routine", lane=Lane.ROUTINE)
    queue.add("a", lane=Lane.ROUTINE)
    queue.add("a")

    assert [queue.pop(), queue.pop(), queue.pop()] == ["a", "routine", None]


def test_routine_key_is_served_within_a_streak_of_urgent_ones(queue: Queue[str]) -> None:
    queue.add("routine", lane=Lane.ROUTINE)
    for number in range(2 * URGENT_STREAK):
        queue.add(f"urgent-{number}")

    served = [queue.pop() for _ in range(URGENT_STREAK + 1)]

    assert "routine" in served


def test_keys_that_nobody_takes_are_noticed_and_keys_that_wait_their_turn_are_not(queue: Queue[str], clock: Clock) -> None:
    queue.add("a")
    queue.add("b", lane=Lane.ROUTINE)
    clock.now += 400
    assert queue.neglected_seconds() == 400

    queue.pop()
    clock.now += 10
    assert queue.neglected_seconds() == 10
    queue.pop()
    clock.now += 400
    assert queue.neglected_seconds() == 0


def test_delayed_key_is_handed_out_when_it_is_due(queue: Queue[str], clock: Clock) -> None:
    queue.add_after("a", 5)

    clock.now += 4.9
    assert queue.pop() is None
    clock.now += 0.1
    assert queue.pop() == "a"


def test_routine_keys_that_are_due_about_then_are_due_together_and_urgent_ones_on_time(clock: Clock) -> None:
    queue: Queue[str] = Queue(clock=clock, beat_seconds=0.5)
    for key, seconds in (("a", 2.1), ("b", 2.4), ("late", 2.6)):
        queue.add_after(key, seconds, lane=Lane.ROUTINE)
    queue.add_after("urgent", 2.2)

    clock.now += 2.45
    assert [queue.pop(), queue.pop()] == ["urgent", None]
    clock.now += 0.05
    assert [queue.pop(), queue.pop(), queue.pop()] == ["a", "b", None]
    clock.now += 0.5
    assert queue.pop() == "late"


def test_earlier_of_two_delays_wins_and_the_later_one_is_dropped(queue: Queue[str], clock: Clock) -> None:
    queue.add_after("a", 50)
    queue.add_after("a", 5)
    queue.add_after("a", 20)

    clock.now += 5
    assert queue.pop() == "a"
    queue.done("a")
    clock.now += 100
    assert queue.pop() is None


def test_work_on_a_key_covers_what_was_planned_before_it(queue: Queue[str], clock: Clock) -> None:
    queue.add_after("a", 5)
    queue.add("a")
    queue.pop()
    queue.add_after("a", 50)
    queue.done("a")

    clock.now += 49
    assert queue.pop() is None
    clock.now += 1
    assert queue.pop() == "a"


async def test_cleared_queue_hands_out_nothing_but_what_is_added_afterwards(queue: Queue[str], clock: Clock) -> None:
    queue.add("waits")
    queue.add("routine", lane=Lane.ROUTINE)
    queue.add_after("planned", 5)
    queue.backoff("failed")

    queue.clear()
    clock.now += 100

    assert queue.pop() is None
    assert queue.backoff("failed") == 1
    getter = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    assert await getter == "a"


def test_backoff_doubles_up_to_the_cap_and_starts_over_after_forget(queue: Queue[str]) -> None:
    delays = [queue.backoff("a") for _ in range(6)]
    queue.forget("a")

    assert delays == [1, 2, 4, 8, 10, 10]
    assert queue.backoff("a") == 1


def test_backoff_waits_as_long_as_the_server_asked_for(queue: Queue[str], clock: Clock) -> None:
    assert queue.backoff("a", at_least_seconds=30) == 30

    clock.now += 29
    assert queue.pop() is None
    clock.now += 1
    assert queue.pop() == "a"


def test_backoff_jitter_never_goes_below_half_the_delay(clock: Clock) -> None:
    queue: Queue[str] = Queue(clock=clock, jitter=lambda: 0.0, backoff_base_seconds=1)

    assert queue.backoff("a") == 0.5


async def test_waiting_worker_gets_a_key_as_soon_as_it_is_added(queue: Queue[str]) -> None:
    getter = asyncio.create_task(queue.get())
    await asyncio.sleep(0)

    queue.add("a")

    assert await getter == "a"


@pytest.mark.parametrize("beat_seconds", [0, 0.05])
async def test_waiting_worker_gets_a_delayed_key(beat_seconds: float) -> None:
    queue: Queue[str] = Queue(beat_seconds=beat_seconds)
    getter = asyncio.create_task(queue.get())
    await asyncio.sleep(0)

    queue.add_after("late", 60, lane=Lane.ROUTINE)
    queue.add_after("a", 0.01, lane=Lane.ROUTINE)

    assert await asyncio.wait_for(getter, 5) == "a"


async def test_key_that_woke_a_cancelled_worker_goes_to_another_one(queue: Queue[str]) -> None:
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)

    queue.add("a")
    first.cancel()

    assert await asyncio.wait_for(second, 5) == "a"


async def test_many_workers_share_keys_without_ever_meeting_on_one() -> None:
    queue: Queue[int] = Queue()
    working: set[int] = set()
    worked: list[int] = []

    async def worker() -> None:
        while True:
            key = await queue.get()
            assert key not in working
            working.add(key)
            await asyncio.sleep(0)
            working.remove(key)
            worked.append(key)
            queue.done(key)

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        workers = [group.create_task(worker()) for _ in range(8)]
        for number in range(2000):
            queue.add(number % 7, lane=Lane(number % 2))
            await asyncio.sleep(0)
        while len(queue) or working:  # noqa: ASYNC110 (the workers run in between)
            await asyncio.sleep(0)
        for task in workers:
            task.cancel()

    assert set(worked) == set(range(7))


class QueueMachine(RuleBasedStateMachine):
    """Against a model: what was added or planned after the last hand-out of a key is owed to that key."""

    beat_seconds = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queue: Queue[str] = Queue(clock=self.clock, jitter=lambda: 1.0, beat_seconds=self.beat_seconds)
        self.owed: set[str] = set()
        self.working: set[str] = set()
        self.due: dict[str, float] = {}

    @rule(key=KEYS, lane=LANES)
    def add(self, key: str, lane: Lane) -> None:
        self.queue.add(key, lane=lane)
        self.owed.add(key)

    @rule(key=KEYS, lane=LANES, seconds=st.floats(0, 10))
    def add_after(self, key: str, lane: Lane, seconds: float) -> None:
        self.queue.add_after(key, seconds, lane=lane)
        at = self.clock.now + seconds
        if self.beat_seconds and lane is Lane.ROUTINE:
            at = -(-at // self.beat_seconds) * self.beat_seconds
        self.due[key] = min(self.due.get(key, float("inf")), at)

    @rule(key=KEYS)
    def fail(self, key: str) -> None:
        seconds = self.queue.backoff(key)
        self.due[key] = min(self.due.get(key, float("inf")), self.clock.now + seconds)

    @rule(seconds=st.floats(0, 20))
    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def pop(self) -> None:
        self._collect_due()
        available = self.owed - self.working

        key = self.queue.pop()

        if key is None:
            assert not available
        else:
            assert key in available
            self.owed.remove(key)
            self.due.pop(key, None)
            self.working.add(key)

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.working)))
        self.queue.done(key)
        self.working.remove(key)

    @invariant()
    def counts_only_what_waits(self) -> None:
        assert len(self.queue) <= len(self.owed - self.working) + len(self.due)

    def teardown(self) -> None:
        """Nothing that was added is ever lost."""
        self.clock.now += 1000
        self._collect_due()
        for busy in sorted(self.working):
            self.queue.done(busy)
        handed_out = set()
        while (key := self.queue.pop()) is not None:
            handed_out.add(key)
            self.queue.done(key)
        assert handed_out == self.owed

    def _collect_due(self) -> None:
        for key in [key for key, at in self.due.items() if at <= self.clock.now]:
            del self.due[key]
            self.owed.add(key)


class BeatingQueueMachine(QueueMachine):
    """The same of a queue that hands out on a beat what can wait, as the operator's does."""

    beat_seconds = 0.5


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=settings().max_examples // 2, stateful_step_count=40)
TestBeatingQueueMachine = BeatingQueueMachine.TestCase
TestBeatingQueueMachine.settings = settings(max_examples=settings().max_examples // 2, stateful_step_count=40)
