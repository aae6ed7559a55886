"""The drain's phases, and what becomes of the requests that hang on it."""

import asyncio

import pytest

from chatbot_service import drain
from chatbot_service.drain import Drain
from chatbot_service.errors import ShuttingDown
from chatbot_service.lifeline import Lifeline, Lifelines

LONG = 30.0


@pytest.fixture
def lifelines() -> Lifelines:
    return Lifelines()


async def hold(lifelines: Lifelines) -> None:
    """Do work that does not end by itself."""
    with Lifeline(asyncio.get_running_loop().time() + LONG, lifelines):
        await asyncio.Event().wait()


async def held(lifelines: Lifelines) -> asyncio.Task[None]:
    """Return a request that is being served."""
    task = asyncio.create_task(hold(lifelines))
    await asyncio.sleep(0)
    return task


async def ended(request: asyncio.Task[None]) -> None:
    """Return when the request has ended, however it did."""
    await asyncio.wait({request})


async def test_it_begins_when_it_is_told_to(lifelines: Lifelines) -> None:
    end = Drain(lifelines, delay_seconds=LONG, timeout_seconds=LONG)
    told = asyncio.ensure_future(end.wait_until_begun())
    await asyncio.sleep(0)
    assert not told.done()

    end.begin()

    await told


async def test_the_delay_ends_by_itself(lifelines: Lifelines) -> None:
    await Drain(lifelines, delay_seconds=0.01, timeout_seconds=LONG).delay()


async def test_the_delay_is_skipped(lifelines: Lifelines) -> None:
    end = Drain(lifelines, delay_seconds=LONG, timeout_seconds=LONG)
    asyncio.get_running_loop().call_soon(end.skip_delay)

    await end.delay()


async def test_what_ends_in_time_is_not_cut(lifelines: Lifelines) -> None:
    end = Drain(lifelines, delay_seconds=0, timeout_seconds=LONG)
    over = asyncio.Event()
    asyncio.get_running_loop().call_soon(over.set)
    request = await held(lifelines)

    await end.finish(over.wait())

    assert not request.done()
    request.cancel()


async def test_what_does_not_end_in_time_is_cut_and_has_its_last_words(lifelines: Lifelines) -> None:
    end = Drain(lifelines, delay_seconds=0, timeout_seconds=0.01)
    request = await held(lifelines)

    await end.finish(ended(request))

    assert isinstance(request.exception(), ShuttingDown)


async def test_what_does_not_end_for_being_cut_is_not_waited_for(lifelines: Lifelines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "LAST_WORDS_SECONDS", 0.01)
    end = Drain(lifelines, delay_seconds=0, timeout_seconds=0.01)

    async with asyncio.timeout(20):
        await end.finish(asyncio.Event().wait())


async def test_a_cut_ends_the_delay_and_leaves_only_the_last_words(lifelines: Lifelines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "LAST_WORDS_SECONDS", 0.01)
    end = Drain(lifelines, delay_seconds=LONG, timeout_seconds=LONG)
    request = await held(lifelines)

    end.cut()

    await end.delay()
    await end.finish(asyncio.Event().wait())
    assert isinstance(request.exception(), ShuttingDown)


async def test_a_cut_shortens_a_wait_that_has_begun(lifelines: Lifelines) -> None:
    end = Drain(lifelines, delay_seconds=LONG, timeout_seconds=LONG)
    request = await held(lifelines)
    asyncio.get_running_loop().call_soon(end.cut)

    await end.finish(ended(request))

    assert isinstance(request.exception(), ShuttingDown)


async def test_a_request_that_has_let_go_is_not_cut(lifelines: Lifelines) -> None:
    end = Drain(lifelines, delay_seconds=0, timeout_seconds=LONG)

    with Lifeline(asyncio.get_running_loop().time() + LONG, lifelines):
        pass
    end.cut()
    await asyncio.sleep(0)

    assert len(lifelines) == 0


async def test_a_request_that_comes_after_the_cut_is_refused(lifelines: Lifelines) -> None:
    end = Drain(lifelines, delay_seconds=0, timeout_seconds=LONG)
    end.cut()

    with pytest.raises(ShuttingDown):
        await hold(lifelines)
