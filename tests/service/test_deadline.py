"""A deadline that moves, on the event loops that the service and its tests run on."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from chatbot_service.deadline import Deadline

SOON = 0.01


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    factory: Callable[[], asyncio.AbstractEventLoop] = request.param
    return factory


class Watch:
    """A deadline, and when it was over."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.over = asyncio.Event()
        self.passed = 0
        self.deadline = Deadline(self._pass)

    def _pass(self) -> None:
        self.passed += 1
        self.over.set()

    async def later(self, seconds: float) -> None:
        """Return when the loop has run a timer of its own that is due in `seconds`."""
        rung = asyncio.Event()
        self.loop.call_later(seconds, rung.set)
        await rung.wait()


async def passes() -> None:
    watch = Watch()
    began = watch.loop.time()
    watch.deadline.set(began + SOON)

    await watch.over.wait()

    assert watch.loop.time() >= began + SOON
    assert not watch.deadline.is_set


async def has_passed_already() -> None:
    watch = Watch()
    watch.deadline.set(watch.loop.time() - 1)

    await watch.over.wait()


async def moves_on() -> None:
    watch = Watch()
    watch.deadline.set(watch.loop.time() + SOON)
    watch.deadline.set(watch.loop.time() + 60)

    await watch.later(2 * SOON)

    assert watch.passed == 0
    assert watch.deadline.is_set


async def moves_forward() -> None:
    watch = Watch()
    watch.deadline.set(watch.loop.time() + 60)
    watch.deadline.set(watch.loop.time() + SOON)

    await watch.over.wait()

    assert watch.passed == 1


async def is_advanced_but_never_put_off() -> None:
    watch = Watch()
    watch.deadline.advance(watch.loop.time() + 60)
    watch.deadline.advance(watch.loop.time() + SOON)
    watch.deadline.advance(watch.loop.time() + 60)

    await watch.over.wait()

    assert watch.passed == 1


async def is_cleared_and_set_again() -> None:
    watch = Watch()
    watch.deadline.set(watch.loop.time() + SOON)
    watch.deadline.clear()
    await watch.later(2 * SOON)
    assert watch.passed == 0

    watch.deadline.set(watch.loop.time() + SOON)
    await watch.over.wait()


async def ends() -> None:
    watch = Watch()
    watch.deadline.set(watch.loop.time() + SOON)
    watch.deadline.end()

    await watch.later(2 * SOON)

    assert watch.passed == 0


@pytest.mark.parametrize(
    "case", [passes, has_passed_already, moves_on, moves_forward, is_advanced_but_never_put_off, is_cleared_and_set_again, ends]
)
def test_a_deadline(case: Callable[[], object], loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(asyncio.wait_for(case(), timeout=20))  # type: ignore[arg-type]  # every case is a coroutine function
