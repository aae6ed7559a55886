"""Whether this process may be sent traffic, and what is known of its key and model. Pure: the clock is injected.

Only a definite refusal of a key or model that was never accepted, no key, or a draining or not yet listening server make it
unready. What cannot be judged (network, 5xx, 429) delays readiness by ten seconds and then counts as Unverified: an outage of
the model's API must not take a whole fleet out of its Service.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

UNVERIFIED_AFTER_SECONDS = 10.0
LIFECYCLES = frozenset({"active", "deprecated", "retired"})
"""Of a model, in the words of the API; what else it says is not passed on."""


class Outcome(StrEnum):
    """What a check of key and model came to."""

    ACCEPTED = "accepted"
    KEY_REFUSED = "key_refused"
    MODEL_REFUSED = "model_refused"
    UNJUDGEABLE = "unjudgeable"


class CredentialsState(StrEnum):
    """What is known of the key, in the words of the resource's status."""

    ACCEPTED = "Accepted"
    UNVERIFIED = "Unverified"
    MISSING = "Missing"
    REJECTED = "Rejected"


class ModelState(StrEnum):
    """What is known of the model, in the words of the report."""

    AVAILABLE = "Available"
    UNVERIFIED = "Unverified"
    NOT_FOUND = "NotFound"
    RETIRED = "Retired"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one check of key and model; `lifecycle` is one of LIFECYCLES, `retires_at` as ISO 8601 writes it."""

    outcome: Outcome
    latency_seconds: float = 0.0
    error_type: str | None = None
    lifecycle: str | None = None
    retires_at: str | None = None

    @property
    def retirement(self) -> datetime | None:
        """Return when the model is retired, if that is known."""
        if self.retires_at is None:
            return None
        moment = datetime.fromisoformat(self.retires_at)
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)

    def days_to_retirement(self, now: datetime) -> int | None:
        """Return how many whole days are left, none after the last."""
        return max(0, (self.retirement - now).days) if self.retirement is not None else None


class Readiness:
    """The facts that readiness follows from; the server and the credentials' loop set them, the probes read them."""

    def __init__(self, *, clock: Callable[[], float], unverified_after_seconds: float = UNVERIFIED_AFTER_SECONDS) -> None:
        self._clock = clock
        self._unverified_after = unverified_after_seconds
        self._waiting_since: float | None = None
        self.listening = False
        self.draining = False
        self.credentials = CredentialsState.UNVERIFIED
        self.accepted = False
        self.verdict: Verdict | None = None
        self.check_latency_seconds = 0.0

    def key_taken(self) -> None:
        """A key is there for the first time, or replaces one that was never accepted: judge anew.

        Whoever waits for a judgement waits on, and whoever serves without one serves on.
        """
        if not self.unverified:
            self._waiting_since = self._clock()
        self.credentials = CredentialsState.UNVERIFIED
        self.verdict = None

    def judged(self, verdict: Verdict) -> None:
        """Take in a check of the key in use."""
        if verdict.outcome is Outcome.UNJUDGEABLE and self.accepted:
            return
        self.verdict = verdict
        if verdict.outcome is Outcome.ACCEPTED:
            self.accepted = True
        self.credentials = _CREDENTIALS[verdict.outcome]

    @property
    def has_key(self) -> bool:
        """Whether there is a well-formed key to call the API with."""
        return self._waiting_since is not None

    @property
    def unverified(self) -> bool:
        """Whether key and model could not be judged so far."""
        return self.has_key and not self.accepted and (self.verdict is None or self.verdict.outcome is Outcome.UNJUDGEABLE)

    @property
    def refused(self) -> bool:
        """Whether the last judgement was that key or model are of no use, accepted before or not."""
        return self.verdict is not None and self.verdict.outcome in (Outcome.KEY_REFUSED, Outcome.MODEL_REFUSED)

    @property
    def reason(self) -> str | None:
        """Return why no traffic should come here, in a few words, or None when it may."""
        if not self.listening:
            return "starting"
        if self.draining:
            return "draining"
        if self._waiting_since is None:
            return _NO_KEY[self.credentials]
        if self.accepted:
            return None
        if self.unverified:
            waited = self._clock() - self._waiting_since >= self._unverified_after
            return None if waited else "key and model are being checked"
        refused_key = self.verdict is not None and self.verdict.outcome is Outcome.KEY_REFUSED
        return "the API key is refused" if refused_key else f"the model is {'retired' if self.model is ModelState.RETIRED else 'not found'}"

    @property
    def retirement(self) -> datetime | None:
        """Return when the model is retired, if that is known."""
        return self.verdict.retirement if self.verdict is not None else None

    @property
    def ready(self) -> bool:
        """Whether traffic may come here."""
        return self.reason is None

    @property
    def model(self) -> ModelState:
        """Return what the last judgement says of the model."""
        if self.verdict is None or self.verdict.outcome in (Outcome.UNJUDGEABLE, Outcome.KEY_REFUSED):
            return ModelState.UNVERIFIED
        if self.verdict.outcome is Outcome.ACCEPTED:
            return ModelState.AVAILABLE
        return ModelState.RETIRED if self.verdict.lifecycle == "retired" else ModelState.NOT_FOUND


_NO_KEY = {
    CredentialsState.UNVERIFIED: "the API key has not been read yet",
    CredentialsState.MISSING: "there is no API key",
    CredentialsState.REJECTED: "the API key is malformed",
}
_CREDENTIALS = {
    Outcome.ACCEPTED: CredentialsState.ACCEPTED,
    Outcome.MODEL_REFUSED: CredentialsState.ACCEPTED,
    Outcome.KEY_REFUSED: CredentialsState.REJECTED,
    Outcome.UNJUDGEABLE: CredentialsState.UNVERIFIED,
}
