"""A pod's report as it comes over the wire. Reports are untrusted: bounded, typed, and never echoed unread."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

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
    days_to_retirement: _Count | None = None


class Histogram(Model):
    """Counts by upper bound; the last count is of what exceeds every bound."""

    bounds: _Bounds = ()
    counts: _Bounds = ()

    @model_validator(mode="after")
    def _counts_fit_the_bounds(self) -> Self:
        if tuple(sorted(set(self.bounds))) != self.bounds:
            raise ValueError("bounds do not ascend")
        if self.counts and len(self.counts) != len(self.bounds) + 1:
            raise ValueError("there must be one count more than bounds")
        return self


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
