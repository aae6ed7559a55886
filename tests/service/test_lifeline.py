"""The lifeline turns its own cancellation, and no other, into the reason for it."""

import asyncio

import pytest

from chatbot_service.errors import ClientLeft, DeadlinePassed, ShuttingDown
from chatbot_service.lifeline import Lifeline


async def test_the_deadline_ends_the_work() -> None:
    loop = asyncio.get_running_loop()

    with pytest.raises(DeadlinePassed), Lifeline(loop.time()) as lifeline:
        await asyncio.Event().wait()

    assert lifeline.expired


async def test_a_cut_ends_the_work_with_its_reason_and_the_first_reason_stands() -> None:
    loop = asyncio.get_running_loop()

    lifeline = Lifeline(loop.time() + 60)
    loop.call_soon(lifeline.cut, ClientLeft())
    loop.call_soon(lifeline.cut, ShuttingDown("too late to be the reason"))

    with pytest.raises(ClientLeft), lifeline:
        await asyncio.Event().wait()

    assert not lifeline.expired


async def test_a_later_deadline_takes_the_place_of_the_first() -> None:
    loop = asyncio.get_running_loop()
    passed = asyncio.Event()

    with Lifeline(loop.time() + 0.01) as lifeline:
        lifeline.extend(loop.time() + 60)
        loop.call_later(0.02, passed.set)
        await passed.wait()

    assert not lifeline.expired


async def test_somebody_elses_cancellation_stays_a_cancellation() -> None:
    entered = asyncio.Event()

    async def work() -> None:
        with Lifeline(asyncio.get_running_loop().time() + 60):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_after_its_end_it_cuts_nothing() -> None:
    loop = asyncio.get_running_loop()

    with Lifeline(loop.time() + 60) as lifeline:
        pass
    lifeline.cut(ClientLeft())
    await asyncio.wait([asyncio.ensure_future(asyncio.Event().wait())], timeout=0.01)

    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_an_error_of_the_work_itself_comes_through() -> None:
    with pytest.raises(ValueError, match="of the work"), Lifeline(asyncio.get_running_loop().time() + 60):
        raise ValueError("of the work")
