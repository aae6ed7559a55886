"""What a request's work hangs on: it ends, by an error, when the client leaves, when its time is over or when the process must go.

One object and one timer instead of a task and a timeout for each of them. Like `asyncio.timeout`, it cancels the task that it was
entered in and turns that cancellation, and no other, into the error that was the reason.
"""

import asyncio
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any, Self

from chatbot_service.errors import ClientLeft, DeadlinePassed, ServiceError

_CLIENT_LEFT = "chatbot.client_left"


class Lifeline:
    """Ends the work inside its block at `deadline` (in the event loop's time) or when `cut` is called."""

    __slots__ = ("_cancelling", "_deadline", "_loop", "_reason", "_task", "_timer")

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reason: ServiceError | None = None
        self._cancelling = 0

    def __enter__(self) -> Self:
        self._task = asyncio.current_task(self._loop)
        self._cancelling = self._task.cancelling() if self._task is not None else 0
        self._timer = self._loop.call_at(self._deadline, self._expire)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        task, self._task = self._task, None
        if self._timer is not None:
            self._timer.cancel()
        if self._reason is None or task is None:
            return
        still_cancelled = task.uncancel() > self._cancelling
        if isinstance(error, asyncio.CancelledError) and not still_cancelled:
            raise self._reason from error

    @property
    def left_seconds(self) -> float:
        """Return the time until the deadline, negative after it."""
        return self._deadline - self._loop.time()

    @property
    def expired(self) -> bool:
        """Whether the deadline, and nothing else, has ended the work."""
        return isinstance(self._reason, DeadlinePassed)

    def extend(self, deadline: float) -> None:
        """Move the deadline."""
        self._deadline = deadline
        if self._timer is not None and self._task is not None:
            self._timer.cancel()
            self._timer = self._loop.call_at(deadline, self._expire)

    def cut(self, reason: ServiceError) -> None:
        """End the work with `reason`; the first reason stands, and one that comes after the end changes nothing."""
        if self._task is not None and self._reason is None:
            self._reason = reason
            self._task.cancel()

    def hang_on_client(self, scope: MutableMapping[str, Any]) -> None:
        """Have the work of the request of `scope` ended with ClientLeft when its client leaves.

        A task that waits for ASGI's `http.disconnect` would do the same, and cost each request and each open stream a task more.
        """
        scope[_CLIENT_LEFT] = self._lose_client

    def _lose_client(self) -> None:
        self.cut(ClientLeft())

    def _expire(self) -> None:
        self.cut(DeadlinePassed("The answer took longer than a request may take."))


def client_has_left(scope: Mapping[str, object]) -> None:
    """Tell the request of `scope`; for the server, which alone knows."""
    tell = scope.get(_CLIENT_LEFT)
    if callable(tell):
        tell()
