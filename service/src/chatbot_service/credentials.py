"""The API key and the system prompt: where they come from, whether the key may be used, and their change while we run.

kubelet swaps a mounted Secret by renaming a symbolic link, so a file is looked at again whenever its resolved path, time or size differ.
A key in use that was once accepted is never given up for a worse one: a new key is checked first, and a missing file keeps the old.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import structlog

from chatbot_service.readiness import CredentialsState, Outcome, Readiness, Verdict
from chatbot_service.telemetry import stack_trace

POLL_SECONDS = 1.0
MAX_FILE_BYTES = 1024 * 1024
MAX_KEY_LENGTH = 1024

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class WatchedFile:
    """A small file and whether it changed since it was last read."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._seen: object = object()

    def changed(self) -> bool:
        """Whether the file is another one than at the last call; the first call says yes."""
        before, self._seen = self._seen, self._signature()
        return self._seen != before

    def read(self) -> bytes | None:
        """Return the content, or None when there is no readable file of a sensible size."""
        try:
            with self._path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError:
            return None
        return content if len(content) <= MAX_FILE_BYTES else None

    def _signature(self) -> object:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return os.path.realpath(self._path), status.st_ino, status.st_mtime_ns, status.st_size


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


class SystemPrompt:
    """The instructions that precede every conversation; a file that goes away or breaks leaves the last good ones."""

    def __init__(self, file: WatchedFile | None) -> None:
        self._file = file
        self.text: str | None = None

    def refresh(self) -> bool:
        """Read the file again if it changed; returns whether there is a prompt, or none is asked for."""
        if self._file is not None and self._file.changed() and (content := self._file.read()) is not None:
            try:
                self.text = content.decode()
            except UnicodeDecodeError:
                log.warning("system prompt is not UTF-8, keeping the last one")
        return self._file is None or self.text is not None


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


class Credentials:
    """The key in use and, while one is on trial, its successor. `step` is called about once a second."""

    def __init__(
        self,
        *,
        source: KeySource,
        readiness: Readiness,
        check: Callable[[str], Awaitable[Verdict]],
        use: Callable[[str], None],
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
        self._candidate: str | None = None
        self._fault: CredentialsState | None = None
        self._next_check = 0.0
        self._last: tuple[str, Outcome] | None = None
        self.changed_at: str | None = None

    async def run(self, *, poll_seconds: float = POLL_SECONDS) -> None:
        """Keep the key and the knowledge of it current until cancelled."""
        while True:
            await self.step()
            await asyncio.sleep(poll_seconds)

    async def step(self) -> None:
        """Take up a changed file, and check the key whose check is due."""
        if self._source.changed():
            self._take(self._source.read())
        subject = self._candidate or self._key
        if subject is not None and self._clock() >= self._next_check:
            verdict = await self._checked(subject)
            self._next_check = self._clock() + self._intervals.after(verdict.outcome)
            self._judged(subject, verdict)

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
            log.error("api key is malformed", reason=str(error))
            return
        if key is None:
            self._fall_back(CredentialsState.MISSING)
            log.warning("api key is missing", keeps_old_key=self._key is not None)
            return
        self._fault = None
        self._next_check = self._clock()
        if self._readiness.accepted:
            same = key == self._key
            self._candidate = None if same else key
            self._readiness.credentials = CredentialsState.ACCEPTED if same else CredentialsState.UNVERIFIED
        else:
            self._swap(key)
            self._readiness.key_taken()

    def _fall_back(self, fault: CredentialsState) -> None:
        """Keep the key in use, if there is one, and say what is wrong with its source until that is mended."""
        self._candidate = None
        self._fault = self._readiness.credentials = fault

    def _swap(self, key: str) -> None:
        self._key, self._candidate = key, None
        self.changed_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._use(key)

    def _judged(self, subject: str, verdict: Verdict) -> None:
        news = (subject, verdict.outcome) != self._last
        self._last = (subject, verdict.outcome)
        log.log(
            _LEVELS[verdict.outcome] if news else logging.DEBUG,
            "api key checked",
            outcome=verdict.outcome,
            error_type=verdict.error_type,
            candidate=self._candidate is not None,
        )
        if subject == self._key:
            self._readiness.judged(verdict)
        elif verdict.outcome is Outcome.ACCEPTED:
            self._swap(subject)
            self._readiness.judged(verdict)
        elif verdict.outcome is not Outcome.UNJUDGEABLE:
            self._readiness.credentials = CredentialsState.REJECTED
        if self._fault is not None:
            self._readiness.credentials = self._fault
