"""The API key: where it comes from, whether it may be used, and its change while we run.

A key in use that was once accepted is never given up for a worse one: a new key is checked first, and a missing file keeps the old.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

import structlog

from chatbot_service.readiness import CredentialsState, Outcome, Readiness, Verdict
from chatbot_service.telemetry import stack_trace, timestamp

POLL_SECONDS = 0.5
WARN_SECONDS = 24 * 3_600.0
MAX_KEY_LENGTH = 1024

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class FixedKey:
    """A key from the environment, which does not change; None when there is none."""

    def __init__(self, content: bytes | None) -> None:
        self._content = content
        self._new = True

    def changed(self) -> bool:
        """Whether it has not been asked for yet."""
        new, self._new = self._new, False
        return new

    def read(self) -> bytes | None:
        """Return the content."""
        return self._content


class KeySource(Protocol):
    """Where a key comes from: a file or the environment."""

    def changed(self) -> bool:
        """Whether it may be another one than at the last call."""

    def read(self) -> bytes | None:
        """Return the content, or None when there is none."""


def parse_key(content: bytes | None) -> str | None:
    """Return the key in `content` without the white space around it, None when there is none; raises ValueError for a malformed one.

    The form is checked because the transport reports a key with a line break in it as a broken connection.
    """
    text = (content or b"").strip()
    if not text:
        return None
    if len(text) > MAX_KEY_LENGTH or not all(0x21 <= byte <= 0x7E for byte in text):
        raise ValueError("the API key is not 1 to 1024 printable ASCII characters")
    return text.decode("ascii")


@dataclass(frozen=True)
class CheckIntervals:
    """When a key is checked again, in seconds."""

    accepted: float = 3_600.0
    refused: float = 60.0
    unjudgeable: float = 5.0

    def after(self, outcome: Outcome) -> float:
        """Return the wait after a check that came to `outcome`."""
        match outcome:
            case Outcome.ACCEPTED:
                return self.accepted
            case Outcome.UNJUDGEABLE:
                return self.unjudgeable
            case _:
                return self.refused


_LEVELS = {
    Outcome.ACCEPTED: logging.INFO,
    Outcome.UNJUDGEABLE: logging.WARNING,
    Outcome.KEY_REFUSED: logging.ERROR,
    Outcome.MODEL_REFUSED: logging.ERROR,
}


class UseKey(Protocol):
    """Takes up a key for the requests to come."""

    def __call__(self, key: str, *, on_refused: Callable[[], None]) -> None:
        """Use `key`; `on_refused` is called whenever a request with it is answered 401."""


class Credentials:
    """The key in use and, while one is on trial, its successor. `step` is called every POLL_SECONDS and never waits."""

    def __init__(
        self,
        *,
        source: KeySource,
        readiness: Readiness,
        check: Callable[[str], Awaitable[Verdict]],
        use: UseKey,
        clock: Callable[[], float],
        intervals: CheckIntervals = CheckIntervals(),
    ) -> None:
        self._source = source
        self._readiness = readiness
        self._check = check
        self._use = use
        self._clock = clock
        self._intervals = intervals
        self._key: str | None = None
        self._key_state = CredentialsState.UNVERIFIED
        self._candidate: str | None = None
        self._fault: CredentialsState | None = None
        self._checking: asyncio.Task[None] | None = None
        self._next_check = 0.0
        self._last_check = -math.inf
        self._last: tuple[str, Outcome] | None = None
        self._warned_of_retirement = -math.inf
        self.changed_at: str | None = None

    async def run(self, *, poll_seconds: float = POLL_SECONDS) -> None:
        """Keep the key and the knowledge of it current until cancelled."""
        try:
            while True:
                self.step()
                await asyncio.sleep(poll_seconds)
        finally:
            self._abandon_check()

    def step(self) -> None:
        """Take up a changed file, and begin the check that is due; a check of what the file held before is of no use any more."""
        if self._source.changed():
            self._abandon_check()
            self._take(self._source.read())
        if self._subject is not None and self._checking is None and self._clock() >= self._next_check:
            self._checking = asyncio.create_task(self._judge(self._subject))

    def key_refused(self, key: str) -> None:
        """A request with `key` was answered 401: if it is still in use, take its successor unless that is refused, or look at it again."""
        if key != self._key:
            return
        self._key_state = CredentialsState.REJECTED
        if self._candidate is not None and self._last == (self._candidate, Outcome.UNJUDGEABLE):
            self._swap(self._candidate)
        self._next_check = min(self._next_check, self._last_check + self._intervals.unjudgeable)

    @property
    def _subject(self) -> str | None:
        return self._candidate or self._key

    def _abandon_check(self) -> None:
        if self._checking is not None:
            self._checking.cancel()
            self._checking = None

    async def _judge(self, key: str) -> None:
        verdict = await self._checked(key)
        self._checking = None
        self._last_check = self._clock()
        self._next_check = self._last_check + self._intervals.after(verdict.outcome)
        self._judged(key, verdict)

    async def _checked(self, key: str) -> Verdict:
        try:
            return await self._check(key)
        except Exception as error:  # noqa: BLE001  a health check must not end the process
            log.error("api key check failed", stack_trace=stack_trace(error))
            return Verdict(Outcome.UNJUDGEABLE, error_type="internal_error")

    def _take(self, content: bytes | None) -> None:
        try:
            key = parse_key(content)
        except ValueError as error:
            self._fall_back(CredentialsState.REJECTED)
            log.error("api key is malformed", reason=str(error), keeps_old_key=self._key is not None)
            return
        if key is None:
            self._fall_back(CredentialsState.MISSING)
            log.warning("api key is missing", keeps_old_key=self._key is not None)
            return
        self._fault = None
        self._next_check = self._clock()
        if not self._readiness.accepted:
            self._swap(key)
            self._readiness.key_taken()
        elif key == self._key:
            self._candidate = None
            self._readiness.credentials = self._key_state
        else:
            self._candidate = key
            self._readiness.credentials = CredentialsState.UNVERIFIED

    def _fall_back(self, fault: CredentialsState) -> None:
        """Keep the key in use, if there is one, and say what is wrong with its source until that is mended."""
        self._candidate = None
        self._fault = self._readiness.credentials = fault

    def _swap(self, key: str) -> None:
        if self._key is not None:
            log.info("api key swapped")
        self._key, self._candidate, self._key_state = key, None, CredentialsState.UNVERIFIED
        self.changed_at = timestamp()
        self._use(key, on_refused=partial(self.key_refused, key))

    def _judged(self, key: str, verdict: Verdict) -> None:
        self._log(key, verdict)
        self._readiness.check_latency_seconds = verdict.latency_seconds
        if key == self._candidate:
            self._candidate_judged(key, verdict)
        else:
            self._key_judged(verdict)
        if self._fault is not None:
            self._readiness.credentials = self._fault
        self._warn_of_retirement(verdict)

    def _key_judged(self, verdict: Verdict) -> None:
        """Take in a check of the key in use; one that cannot judge changes nothing of what is known of it."""
        self._readiness.judged(verdict)
        if verdict.outcome is not Outcome.UNJUDGEABLE:
            self._key_state = self._readiness.credentials

    def _candidate_judged(self, key: str, verdict: Verdict) -> None:
        match verdict.outcome:
            case Outcome.ACCEPTED:
                self._swap(key)
                self._key_judged(verdict)
            case Outcome.UNJUDGEABLE:
                if self._key_state is CredentialsState.REJECTED:
                    self._swap(key)
                self._readiness.credentials = CredentialsState.UNVERIFIED
            case _:
                self._readiness.credentials = CredentialsState.REJECTED

    def _log(self, key: str, verdict: Verdict) -> None:
        """Tell news by their weight, and what is known already only to those who want to know everything."""
        news = (key, verdict.outcome) != self._last
        self._last = (key, verdict.outcome)
        log.log(
            _LEVELS[verdict.outcome] if news else logging.DEBUG,
            "api key checked",
            outcome=verdict.outcome,
            error_type=verdict.error_type,
            candidate=key == self._candidate,
        )

    def _warn_of_retirement(self, verdict: Verdict) -> None:
        """Warn of a model that is on its way out, once a day."""
        if verdict.lifecycle != "deprecated" or self._clock() - self._warned_of_retirement < WARN_SECONDS:
            return
        self._warned_of_retirement = self._clock()
        log.warning("model is deprecated", retires_at=verdict.retires_at, days_to_retirement=verdict.days_to_retirement(datetime.now(UTC)))
