"""The circuit breaker of one model: failures in a row open it, a rest later one probe decides.

Pure: clock and randomness are injected and nothing waits. Which results count is the caller's to say; when they count is decided
here: an attempt that began before the last transition tells nothing about the state of today.
"""

from collections.abc import Callable
from enum import StrEnum

from chatbot_service.errors import CircuitOpen

JITTER = 0.1
"""Share by which a rest may be longer, so that the pods of one service do not probe together."""

PROBING_RETRY_AFTER_SECONDS = 1.0
"""What is advised while a probe is out: its result is seconds away at most, and nobody knows how many."""


class BreakerState(StrEnum):
    """Where a breaker is, in the words of the report."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Opens at `threshold` failed attempts in a row and rests for `reset_seconds`, up to a tenth longer, before each probe.

    `on_transition` is called with the breaker once its state has changed. `trips` counts how often it opened.
    """

    def __init__(
        self,
        name: str,
        *,
        threshold: int,
        reset_seconds: float,
        clock: Callable[[], float],
        random: Callable[[], float],
        on_transition: Callable[["Breaker"], None],
    ) -> None:
        self.name = name
        self.state = BreakerState.CLOSED
        self.trips = 0
        self._threshold = threshold
        self._reset_seconds = reset_seconds
        self._clock = clock
        self._random = random
        self._on_transition = on_transition
        self._epoch = 0
        self._failures = 0
        self._rest_ends = 0.0
        self._probe: Permit | None = None

    @property
    def rejecting(self) -> bool:
        """Whether `admit` would raise."""
        match self.state:
            case BreakerState.CLOSED:
                return False
            case BreakerState.OPEN:
                return self._clock() < self._rest_ends
            case BreakerState.HALF_OPEN:
                return self._probe is not None

    def admit(self) -> "Permit":
        """Return leave for one attempt, which must be told its result; raises CircuitOpen."""
        if self.state is BreakerState.CLOSED:
            return Permit(self, self._epoch)
        if self.rejecting:
            raise CircuitOpen(
                "The model's API fails again and again and is left alone for a while.", retry_after_seconds=self._retry_after_seconds
            )
        if self.state is BreakerState.OPEN:
            self._enter(BreakerState.HALF_OPEN)
        self._probe = Permit(self, self._epoch)
        return self._probe

    def judge(self, permit: "Permit", *, failed: bool) -> None:
        """Take in the result of one attempt; its permit calls this, once."""
        if permit.epoch != self._epoch:
            return
        if self.state is BreakerState.HALF_OPEN:
            self._enter(BreakerState.OPEN if failed else BreakerState.CLOSED)
            return
        self._failures = self._failures + 1 if failed else 0
        if self._failures >= self._threshold:
            self._enter(BreakerState.OPEN)

    def free(self, permit: "Permit") -> None:
        """Give a probe's place back; its permit calls this."""
        if self._probe is permit:
            self._probe = None

    @property
    def _retry_after_seconds(self) -> float:
        return self._rest_ends - self._clock() if self.state is BreakerState.OPEN else PROBING_RETRY_AFTER_SECONDS

    def _enter(self, state: BreakerState) -> None:
        self.state = state
        self._epoch += 1
        self._failures = 0
        self._probe = None
        if state is BreakerState.OPEN:
            self.trips += 1
            self._rest_ends = self._clock() + self._reset_seconds * (1 + JITTER * self._random())
        self._on_transition(self)


class Permit:
    """Leave for one attempt. The first result stands, whatever is told after it."""

    __slots__ = ("_breaker", "_settled", "epoch")

    def __init__(self, breaker: Breaker, epoch: int) -> None:
        self._breaker = breaker
        self._settled = False
        self.epoch = epoch

    def content_came(self) -> None:
        """The answer's first content is there: a probe has succeeded; any other attempt is judged at its end."""
        if self._breaker.state is BreakerState.HALF_OPEN:
            self.succeed()

    def succeed(self) -> None:
        """The attempt ended well."""
        self._settle(failed=False)

    def fail(self) -> None:
        """The attempt ended in a way that counts against the model's API."""
        self._settle(failed=True)

    def abandon(self) -> None:
        """The attempt ended in a way that says nothing about the model's API; a probe's place is free again."""
        if not self._settled:
            self._settled = True
            self._breaker.free(self)

    def _settle(self, *, failed: bool) -> None:
        if not self._settled:
            self._settled = True
            self._breaker.judge(self, failed=failed)
