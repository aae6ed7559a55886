"""An event loop whose clock is the test's, and that turns when it is told to."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import TypeVarTuple

Ts = TypeVarTuple("Ts")


class StillLoop(asyncio.SelectorEventLoop):
    """`now` is its time in seconds; `timers` are all that were ever set."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.timers: list[asyncio.TimerHandle] = []

    def time(self) -> float:
        """Return the test's time."""
        return self.now

    def call_at(self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> asyncio.TimerHandle:
        """Set a timer, and keep it."""
        self.timers.append(super().call_at(when, callback, *args, context=context))
        return self.timers[-1]

    def turn(self) -> None:
        """Run what is ready now, and nothing that becomes so by it."""
        self.call_soon(self.stop)
        self.run_forever()

    def settle(self) -> None:
        """Run until nothing more happens by itself: no chain of wake-ups here takes more than three turns."""
        for _ in range(5):
            self.turn()

    def end(self) -> None:
        """Cancel what is left."""
        for task in asyncio.all_tasks(self):
            task.cancel()
        self.settle()
        self.close()
