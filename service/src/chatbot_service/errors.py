"""Every error that this package raises for others to catch.

    ServiceError
    ├── SettingsInvalid                 the environment is wrong: one line each, exit code 2
    ├── StartupFailed                   a port or a child cannot be had: one line, exit code 1
    ├── ClientLeft                      the client closed its connection before the answer
    └── Problem                         answered as application/problem+json
        ├── HttpProblem                 4xx: what the protocol or the router finds, as HTTP names it
        ├── Undecodable                 400
        ├── Unprocessable               422, with a JSON pointer for each complaint
        ├── Unauthorized                401
        ├── BodyTooSlow                 408
        ├── BodyTooLarge                413
        ├── UnsupportedMediaType        415
        ├── RateLimited                 429: this pod's own limit
        ├── NotReady                    503
        ├── Busy                        503: every slot and every place in the queue is taken
        ├── ShuttingDown                503: the drain is over
        ├── CircuitOpen                 503: the circuit breaker spares the model's API
        ├── DeadlinePassed              504: the time of the request is over, whoever took it
        └── UpstreamProblem             what the model's API did in one attempt
            ├── UpstreamRefused         502: key, credit, permission, model
            │   ├── UpstreamRefusedRequest   400, as it is
            │   └── UpstreamRefusedSize      413, as it is
            ├── UpstreamRateLimited     429
            │   └── UpstreamSpent            for the rest of the month
            ├── UpstreamOverloaded      503
            ├── UpstreamFailed          502: its 5xx
            │   ├── UpstreamUnreachable      no connection, or a broken one
            │   └── UpstreamGarbage          unreadable or truncated
            └── UpstreamTimeout         504

No message holds a key, a prompt or anything that the model's API echoed.
"""

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, ClassVar

UNFORESEEN = "Something went wrong here; the correlation id finds it in the log."


class ServiceError(Exception):
    """The root of the tree."""


class SettingsInvalid(ServiceError):
    """The environment cannot be used; `lines` holds one complaint a variable."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


class StartupFailed(ServiceError):
    """Something outside the environment keeps the process from starting."""


class ClientLeft(ServiceError):
    """The client closed its connection before it had the whole answer; nobody is left to be told."""


class Problem(ServiceError):
    """An answer that is an error, as RFC 9457 writes it."""

    status: int = 500
    code: str = "internal_error"
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, detail: str, *, extensions: dict[str, Any] | None = None, retry_after_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extensions = extensions or {}
        self.retry_after_seconds = retry_after_seconds

    def body(self, correlation_id: str) -> dict[str, Any]:
        """Return the members of the problem+json document."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "correlation_id": correlation_id,
            **self.extensions,
        }

    @property
    def retry_after(self) -> int | None:
        """Return Retry-After in whole seconds; every 429 and 503 has one."""
        if self.retry_after_seconds is None:
            return 1 if self.status in (429, 503) else None
        return max(1, math.ceil(self.retry_after_seconds))


class HttpProblem(Problem):
    """A request that is no proper one, or asks for what there is not; its code is the name of its status."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = HTTPStatus(status).name.lower()
        self.headers = headers or {}


class Undecodable(Problem):
    """The body is not JSON."""

    status = 400
    code = "undecodable"


class Unprocessable(Problem):
    """The body is JSON of the wrong shape."""

    status = 422
    code = "unprocessable"

    def __init__(self, complaints: Sequence[tuple[str, str]]) -> None:
        pointer, text = complaints[0]
        errors = [{"pointer": pointer, "detail": text} for pointer, text in complaints]
        super().__init__(f"{pointer or 'the body'}: {text}", extensions={"errors": errors})


class Unauthorized(Problem):
    """The client shows no token, or one that is not known."""

    status = 401
    code = "unauthorized"
    headers = MappingProxyType({"WWW-Authenticate": "Bearer"})


class BodyTooSlow(Problem):
    """The body comes in too slowly."""

    status = 408
    code = "body_too_slow"
    headers = MappingProxyType({"Connection": "close"})


class BodyTooLarge(Problem):
    """The body exceeds MAX_REQUEST_SIZE."""

    status = 413
    code = "body_too_large"


class UnsupportedMediaType(Problem):
    """The body is announced as something other than plain JSON."""

    status = 415
    code = "unsupported_media_type"


class RateLimited(Problem):
    """More requests than this pod takes, from all its clients or from this one."""

    status = 429
    code = "rate_limited"


class NotReady(Problem):
    """The service cannot reach the model's API yet: no key, or still starting."""

    status = 503
    code = "not_ready"


class Busy(Problem):
    """This pod serves and queues as many requests as it may."""

    status = 503
    code = "busy"


class ShuttingDown(Problem):
    """This process ends, and the time that requests in flight had is over."""

    status = 503
    code = "shutting_down"


class CircuitOpen(Problem):
    """The model's API has failed again and again, and is left alone for a while."""

    status = 503
    code = "circuit_open"


class DeadlinePassed(Problem):
    """The request's own time is over: queueing, retries and the model's API together took it."""

    status = 504
    code = "upstream_timeout"


class UpstreamProblem(Problem):
    """What came of one attempt at the model's API.

    `error_type` is its own word for it where it had one, `should_retry` its `x-should-retry`. `qualifies` says whether an attempt
    that ends so counts against the model's API in the circuit breaker.
    """

    fallback_type: ClassVar[str] = "api_error"
    qualifies: ClassVar[bool] = False

    def __init__(
        self,
        detail: str,
        *,
        error_type: str | None = None,
        upstream_status: int | None = None,
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
        should_retry: bool | None = None,
    ) -> None:
        super().__init__(detail, retry_after_seconds=retry_after_seconds)
        self.error_type = error_type or self.fallback_type
        self.upstream_status = upstream_status
        self.request_id = request_id
        self.should_retry = should_retry


class UpstreamRefused(UpstreamProblem):
    """The model's API refused the key, the account or the model: this service is set up wrong."""

    status = 502
    code = "upstream_rejected"
    fallback_type = "invalid_request_error"


class UpstreamRefusedRequest(UpstreamRefused):
    """The model's API found the request itself invalid."""

    status = 400
    code = "invalid_request"


class UpstreamRefusedSize(UpstreamRefused):
    """The model's API found the request too large."""

    status = 413
    code = "body_too_large"
    fallback_type = "request_too_large"


class UpstreamRateLimited(UpstreamProblem):
    """The model's API counts too many requests or tokens of this key."""

    status = 429
    code = "upstream_rate_limited"
    fallback_type = "rate_limit_error"


class UpstreamSpent(UpstreamRateLimited):
    """The spending limit of the account is reached, for the rest of the month."""


class UpstreamOverloaded(UpstreamProblem):
    """The model's API has more load than it can serve."""

    status = 503
    code = "overloaded"
    qualifies = True
    fallback_type = "overloaded_error"


class UpstreamFailed(UpstreamProblem):
    """The model's API failed, or what came back was no answer."""

    status = 502
    code = "upstream_error"
    qualifies = True


class UpstreamUnreachable(UpstreamFailed):
    """The connection to the model's API could not be made, or broke."""

    fallback_type = "connection_error"


class UpstreamGarbage(UpstreamFailed):
    """The answer cannot be read, or ends before its end."""

    fallback_type = "invalid_answer"


class UpstreamTimeout(UpstreamProblem):
    """The model's API did not answer in time."""

    status = 504
    code = "upstream_timeout"
    qualifies = True
    fallback_type = "timeout"
