"""What a request's work hangs on: it ends, by an error, when the client leaves, when its time is over or when the process must go.

One object a request and one timer for all of them, instead of a task and a timeout for each reason. Like `asyncio.timeout`, a lifeline
cancels the task that it was entered in and turns that cancellation, and no other, into the error that was the reason.
"""

import asyncio
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any, Self

from chatbot_service.deadline import Deadline
from chatbot_service.errors import ClientLeft, DeadlinePassed, ServiceError, ShuttingDown

_CLIENT_LEFT = "chatbot.client_left"


class Lifelines:
    """Those of all the work that is being done."""

    def __init__(self) -> None:
        self._held: set[Lifeline] = set()
        self._next = Deadline(self._cut_due)
        self._ended = False

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, lifeline: "Lifeline") -> None:
        """Cut `lifeline` at its deadline, or at the end of them all; raises ShuttingDown after that."""
        if self._ended:
            raise _shutting_down()
        self._held.add(lifeline)
        self._next.advance(lifeline.deadline)

    def release(self, lifeline: "Lifeline") -> None:
        """Let go of `lifeline`, whose work is over."""
        self._held.discard(lifeline)

    def end(self) -> None:
        """Cut them all, and whatever comes later."""
        self._ended = True
        for lifeline in list(self._held):
            lifeline.cut(_shutting_down())

    def _cut_due(self) -> None:
        """Cut what is due, which may be nothing: work that ends in time leaves the deadline as it is."""
        now = asyncio.get_running_loop().time()
        for lifeline in self._held:
            if lifeline.deadline <= now:
                lifeline.expire()
            else:
                self._next.advance(lifeline.deadline)


class Lifeline:
    """Ends the work inside its block at `deadline` (in the event loop's time), or when `cut` is called, by it or by `among`."""

    __slots__ = ("_among", "_cancelling", "_loop", "_reason", "_task", "deadline")

    def __init__(self, deadline: float, among: Lifelines) -> None:
        self.deadline = deadline
        self._among = among
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None
        self._reason: ServiceError | None = None
        self._cancelling = 0

    def __enter__(self) -> Self:
        self._among.hold(self)
        self._task = asyncio.current_task(self._loop)
        self._cancelling = self._task.cancelling() if self._task is not None else 0
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        task, self._task = self._task, None
        self._among.release(self)
        if self._reason is None or task is None:
            return
        still_cancelled = task.uncancel() > self._cancelling
        if isinstance(error, asyncio.CancelledError) and not still_cancelled:
            raise self._reason from error

    @property
    def left_seconds(self) -> float:
        """Return the time until the deadline, negative after it."""
        return self.deadline - self._loop.time()

    @property
    def expired(self) -> bool:
        """Whether the deadline, and nothing else, has ended the work."""
        return isinstance(self._reason, DeadlinePassed)

    def extend(self, deadline: float) -> None:
        """Move the deadline to a later one."""
        self.deadline = deadline

    def cut(self, reason: ServiceError) -> None:
        """End the work with `reason`; the first reason stands, and one that comes after the end changes nothing."""
        if self._task is not None and self._reason is None:
            self._reason = reason
            self._task.cancel()

    def expire(self) -> None:
        """End the work because its time is over."""
        self.cut(DeadlinePassed("The answer took longer than a request may take."))

    def hang_on_client(self, scope: MutableMapping[str, Any]) -> None:
        """Have the work of the request of `scope` ended with ClientLeft when its client leaves.

        A task that waits for ASGI's `http.disconnect` would do the same, and cost each request and each open stream a task more.
        """
        scope[_CLIENT_LEFT] = self._lose_client

    def _lose_client(self) -> None:
        self.cut(ClientLeft())


def client_has_left(scope: Mapping[str, object]) -> None:
    """Tell the request of `scope`; for the server, which alone knows."""
    tell = scope.get(_CLIENT_LEFT)
    if callable(tell):
        tell()


def _shutting_down() -> ShuttingDown:
    return ShuttingDown("The service is being stopped.")
