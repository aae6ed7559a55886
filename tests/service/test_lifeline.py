"""The lifeline turns its own cancellation, and no other, into the reason for it."""

import asyncio
from contextlib import suppress

import pytest

from chatbot_service.errors import ClientLeft, DeadlinePassed, ShuttingDown
from chatbot_service.lifeline import Lifeline, Lifelines


async def test_the_deadline_ends_the_work() -> None:
    loop = asyncio.get_running_loop()

    with pytest.raises(DeadlinePassed), Lifeline(loop.time(), Lifelines()) as lifeline:
        await asyncio.Event().wait()

    assert lifeline.expired


async def test_a_cut_ends_the_work_with_its_reason_and_the_first_reason_stands() -> None:
    loop = asyncio.get_running_loop()

    lifeline = Lifeline(loop.time() + 60, Lifelines())
    loop.call_soon(lifeline.cut, ClientLeft())
    loop.call_soon(lifeline.cut, ShuttingDown("too late to be the reason"))

    with pytest.raises(ClientLeft), lifeline:
        await asyncio.Event().wait()

    assert not lifeline.expired


async def test_a_later_deadline_takes_the_place_of_the_first() -> None:
    loop = asyncio.get_running_loop()
    passed = asyncio.Event()

    with Lifeline(loop.time() + 0.01, Lifelines()) as lifeline:
        lifeline.extend(loop.time() + 60)
        loop.call_later(0.02, passed.set)
        await passed.wait()

    assert not lifeline.expired


async def test_each_ends_at_its_own_deadline_on_one_timer() -> None:
    loop = asyncio.get_running_loop()
    lifelines, ended = Lifelines(), []

    async def work(name: str, seconds: float) -> None:
        with suppress(DeadlinePassed), Lifeline(loop.time() + seconds, lifelines):
            await asyncio.Event().wait()
        ended.append(name)

    async with asyncio.timeout(20):
        await asyncio.gather(work("third", 0.03), work("first", 0.01), work("second", 0.02))

    assert ended == ["first", "second", "third"]
    assert len(lifelines) == 0


async def test_a_timer_that_rings_for_work_long_over_still_rings_for_the_rest() -> None:
    loop = asyncio.get_running_loop()
    lifelines = Lifelines()

    with Lifeline(loop.time() + 0.01, lifelines):
        pass

    with pytest.raises(DeadlinePassed), Lifeline(loop.time() + 0.02, lifelines):
        await asyncio.Event().wait()


async def test_after_the_end_of_all_no_work_begins() -> None:
    lifelines = Lifelines()
    lifelines.end()

    with pytest.raises(ShuttingDown), Lifeline(asyncio.get_running_loop().time() + 60, lifelines):
        pytest.fail("The work has begun.")


async def test_somebody_elses_cancellation_stays_a_cancellation() -> None:
    entered = asyncio.Event()

    async def work() -> None:
        with Lifeline(asyncio.get_running_loop().time() + 60, Lifelines()):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_after_its_end_it_cuts_nothing() -> None:
    loop = asyncio.get_running_loop()

    with Lifeline(loop.time() + 60, Lifelines()) as lifeline:
        pass
    lifeline.cut(ClientLeft())
    await asyncio.wait([asyncio.ensure_future(asyncio.Event().wait())], timeout=0.01)

    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_an_error_of_the_work_itself_comes_through() -> None:
    with pytest.raises(ValueError, match="of the work"), Lifeline(asyncio.get_running_loop().time() + 60, Lifelines()):
        raise ValueError("of the work")
