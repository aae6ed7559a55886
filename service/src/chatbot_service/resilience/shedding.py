"""How many requests are served at once, how many wait for their turn, and for how long; whatever exceeds that is refused at once.

First come, first served. A free slot is taken without a task, a future or a timer. A slot that becomes free while somebody waits goes
straight to the first who does: it is never free in between, so nobody overtakes.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

from chatbot_service.errors import Busy


class Slots:
    """`capacity` slots and a queue of `queue_size` for them. `on_refused` is told why, in a word, when a request gets none."""

    def __init__(self, capacity: int, *, queue_size: int, queue_timeout_seconds: float, on_refused: Callable[[str], None]) -> None:
        self.in_flight = 0
        self._capacity = capacity
        self._queue_size = queue_size
        self._queue_timeout_seconds = queue_timeout_seconds
        self._on_refused = on_refused
        self._queue: OrderedDict[asyncio.Future[bool], None] = OrderedDict()

    @property
    def queued(self) -> int:
        """Return how many wait."""
        return len(self._queue)

    def check(self) -> None:
        """Raise Busy when a request would find neither a slot nor a place in the queue."""
        if self.in_flight >= self._capacity and len(self._queue) >= self._queue_size:
            self._on_refused("queue_full")
            raise Busy("This pod serves and queues as many requests as it may.")

    async def taken(self) -> AbstractContextManager[None]:
        """Wait for a slot and return what frees it at the end of its block; raises Busy when there is none in time."""
        if self.in_flight < self._capacity:
            self.in_flight += 1
        else:
            self.check()
            await self._wait()
        return self

    def __enter__(self) -> None:
        """Hold the slot that has been taken."""

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._release()

    async def _wait(self) -> None:
        """Return when it is this request's turn. Its future comes true with the slot, and false when the time is over."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        self._queue[turn] = None
        timer = loop.call_later(self._queue_timeout_seconds, _settle, turn, False)
        try:
            got = await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self._release()  # the slot came in the very moment in which the request left
            raise
        finally:
            timer.cancel()
            self._queue.pop(turn, None)
        if not got:
            self._on_refused("queue_timeout")
            raise Busy("This pod serves as many requests as it may, and none of them ended in time.")

    def _release(self) -> None:
        while self._queue:
            turn, _ = self._queue.popitem(last=False)
            if _settle(turn, True):
                return
        self.in_flight -= 1


def _settle(turn: asyncio.Future[bool], result: bool) -> bool:  # noqa: FBT001  as above
    """Give `turn` its result; return whether it was still without one."""
    if turn.done():
        return False
    turn.set_result(result)
    return True
