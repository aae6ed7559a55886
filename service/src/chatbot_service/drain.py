"""How the process ends: what has begun is finished, within bounds, and what cannot be finished is told so.

Owns the phases and their times: the delay, in which everything is served as before while the rest of the world hears of the end;
the time for what is in flight; the last words. Touches no socket.
"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

import structlog

from chatbot_service.lifeline import Lifelines

LAST_WORDS_SECONDS = 1.0
"""For answers that have been cut to reach their clients."""

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Drain:
    """The end of this process, and of the work that hangs on `lifelines`."""

    def __init__(self, lifelines: Lifelines, *, delay_seconds: float, timeout_seconds: float) -> None:
        self._lifelines = lifelines
        self._delay_seconds = delay_seconds
        self._timeout_seconds = timeout_seconds
        self._begun = asyncio.Event()
        self._hurried = asyncio.Event()
        self._cut = False
        self._last_words: asyncio.Timeout | None = None

    def begin(self) -> None:
        """End, and take the time for it."""
        self._begun.set()

    def skip_delay(self) -> None:
        """Take no more time than what is in flight needs."""
        self._hurried.set()

    def cut(self) -> None:
        """Leave what is in flight no more than its last words; whatever comes later is refused."""
        if self._cut:
            return
        self._cut = True
        self._hurried.set()
        log.info("requests cut", in_flight=len(self._lifelines))
        self._lifelines.end()
        if self._last_words is not None:
            self._last_words.reschedule(asyncio.get_running_loop().time() + LAST_WORDS_SECONDS)

    async def wait_until_begun(self) -> None:
        """Return when the process has been told to end."""
        await self._begun.wait()

    async def delay(self) -> None:
        """Wait while kube-proxy and balancers, which hear of the end of a pod later than the pod, still send clients here."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurried.wait(), timeout=self._delay_seconds)

    async def finish(self, work: Awaitable[object]) -> None:
        """Wait for `work`, which is over when nothing is in flight, and cut what the time does not suffice for."""
        timer = asyncio.get_running_loop().call_later(self._timeout_seconds, self.cut)
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS if self._cut else None) as self._last_words:
                await work
        timer.cancel()
