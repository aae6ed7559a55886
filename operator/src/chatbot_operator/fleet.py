"""The pods' reports, and the health of all of them as one value. Reports are untrusted: bounded, typed, and never echoed unread."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError

from chatbot_operator.errors import ReportInvalid
from chatbot_operator.resource import BreakerState, CredentialsState, Model, ModelState

MAX_REPORT_BYTES = 4096

_Word = Annotated[str, Field(max_length=63, pattern=r"^[A-Za-z0-9_.-]*$")]
_Count = Annotated[int, Field(ge=0, le=2**53)]
_Bounds = Annotated[tuple[_Count, ...], Field(max_length=32)]


class PodIdentity(Model):
    """Which pod reports, and of which revision it is."""

    uid: _Word
    template_hash: _Word = ""


class PodBreaker(Model):
    """One circuit breaker of a pod."""

    state: BreakerState
    trips: _Count = 0


class PodCredentials(Model):
    """What a pod knows of its key."""

    state: CredentialsState
    fingerprint_changed_at: Annotated[str, Field(max_length=40)] | None = None


class PodModel(Model):
    """What a pod knows of its model."""

    name: Annotated[str, Field(max_length=128)]
    state: ModelState = ModelState.UNVERIFIED
    lifecycle: _Word | None = None
    retires_at: Annotated[str, Field(max_length=40)] | None = None


class Histogram(Model):
    """Counts by upper bound; the last count is of what exceeds every bound."""

    bounds: _Bounds = ()
    counts: _Bounds = ()


class Window(Model):
    """What a pod saw within one span of time."""

    requests: _Count = 0
    errors: _Count = 0
    latency_ms: Histogram = Histogram()
    first_token_ms: Histogram = Histogram()


class Tokens(Model):
    """Tokens used since the pod started."""

    input: _Count = 0
    output: _Count = 0


class PodReport(Model):
    """One pod's report, version 1."""

    version: Literal[1]
    pod: PodIdentity
    state: _Word
    breaker: Annotated[Mapping[Annotated[str, Field(max_length=128)], PodBreaker], Field(max_length=8)] = {}
    last_error_type: _Word | None = None
    credentials: PodCredentials
    model: PodModel
    client_tokens: _Word | None = None
    in_flight: _Count = 0
    windows: Annotated[Mapping[_Word, Window], Field(max_length=4)] = {}
    tokens: Tokens = Tokens()

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Return the report in `body`, or raise ReportInvalid."""
        if len(body) > MAX_REPORT_BYTES:
            raise ReportInvalid(f"report of {len(body)} bytes exceeds {MAX_REPORT_BYTES}")
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise ReportInvalid(f"report.{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error


@dataclass(frozen=True, slots=True)
class PodHealth:
    """What the status needs of one report: nothing that changes with every request, so that equal health means nothing to do."""

    uid: str
    credentials: CredentialsState
    model: ModelState
    breaker: BreakerState
    last_error_type: str | None
    serving: bool

    @property
    def undecided(self) -> bool:
        """Tell whether it is still checking its key for the first time and takes no traffic until it knows."""
        return not self.serving and self.credentials is CredentialsState.UNVERIFIED


@dataclass(frozen=True)
class FleetHealth:
    """What all reports say together; `expected` is how many pods should have reported, `pods` is by uid."""

    expected: int = 0
    pods: Mapping[str, PodHealth] = field(default_factory=dict)

    def breakers(self) -> Mapping[BreakerState, int]:
        """Return how many pods have the breaker of their model in which state."""
        return Counter(pod.breaker for pod in self.pods.values())

    def worst_breaker(self) -> BreakerState | None:
        """Return the state that is the worst of all pods', or None without a report."""
        counts = self.breakers()
        return next((state for state in (BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED) if counts[state]), None)

    def last_error_type(self) -> str | None:
        """Return the error type that most pods saw last; of several, the first by name, so that the answer is stable."""
        counts = Counter(pod.last_error_type for pod in self.pods.values() if pod.last_error_type)
        return min(counts, key=lambda name: (-counts[name], name), default=None)

    def of(self, uids: Collection[str]) -> tuple[PodHealth, ...]:
        """Return the health of the given pods, as far as they reported."""
        return tuple(pod for uid, pod in self.pods.items() if uid in uids)


def merge(reports: Sequence[PodReport], *, expected: int) -> FleetHealth:
    """Return the health of the fleet; of two reports of one pod the later in the sequence counts."""
    return FleetHealth(expected=expected, pods={report.pod.uid: _health(report) for report in reports})


def worst_credentials(pods: Iterable[PodHealth]) -> CredentialsState | None:
    """Return the state of the key that asks most for attention, or None without a report."""
    states = {pod.credentials for pod in pods}
    return next((state for state in _CREDENTIALS_WORST_FIRST if state in states), None)


_SERVING = frozenset({"ready", "degraded"})
_CREDENTIALS_WORST_FIRST = (CredentialsState.REJECTED, CredentialsState.MISSING, CredentialsState.UNVERIFIED, CredentialsState.ACCEPTED)


def _health(report: PodReport) -> PodHealth:
    """Return the part of a report that the status needs; a breaker that the report does not name never tripped."""
    breaker = report.breaker.get(report.model.name)
    return PodHealth(
        uid=report.pod.uid,
        credentials=report.credentials.state,
        model=report.model.state,
        breaker=breaker.state if breaker else BreakerState.CLOSED,
        last_error_type=report.last_error_type,
        serving=report.state in _SERVING,
    )
