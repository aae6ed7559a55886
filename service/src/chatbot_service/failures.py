"""What an error of the model's API means for the request: its status, its words and its headers become one UpstreamProblem. Pure.

Source: the API's documentation, "Errors", and the SDK's tables, which the tests compare this with.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType

from chatbot_service.errors import (
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamProblem,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamRefusedRequest,
    UpstreamRefusedSize,
    UpstreamSpent,
)

_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "memory_path_conflict_error": 409,
    "memory_precondition_failed_error": 412,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_REFUSALS = {
    401: "The API key of this service is refused.",
    402: "The account of this service has no credit.",
    403: "The API key of this service may not do this.",
    404: "The model of this service is not available.",
}
_SPENT = frozenset({"contract_spend_limit_reached", "enforced_spend_limit_reached"})
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,63}", re.ASCII)


def problem_of(status: int, *, headers: Mapping[bytes, bytes] = MappingProxyType({}), body: object = None) -> UpstreamProblem:
    """Return what an answer of the API with `status` means for the request; `body` is its decoded JSON, or any other object."""
    error_type, error_code = _member(body, "error", "type"), _member(body, "error", "details", "error_code")
    kind, detail = _kind(status, spent=error_code in _SPENT)
    return kind(
        detail,
        error_type=word(error_type),
        upstream_status=status,
        request_id=word(headers.get(b"request-id", b"").decode("latin-1")),
        retry_after_seconds=_retry_after_seconds(headers),
        should_retry={b"true": True, b"false": False}.get(headers.get(b"x-should-retry", b"")),
    )


def status_of(body: object) -> int:
    """Return the status of an error that is told inside an answer of status 200, by its type; 500 if that is unknown."""
    error_type = _member(body, "error", "type")
    return _STATUS_OF_TYPE.get(error_type, 500) if isinstance(error_type, str) else 500


def word(value: object) -> str | None:
    """Return `value` if it is one short word: it goes into logs, metrics and reports, and comes from outside."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _kind(status: int, *, spent: bool) -> tuple[type[UpstreamProblem], str]:  # noqa: PLR0911  a table
    match status:
        case 400:
            return UpstreamRefusedRequest, "The model's API finds the request invalid."
        case 413:
            return UpstreamRefusedSize, "The model's API finds the request too large."
        case 429 if spent:
            return UpstreamSpent, "The spending limit of this service's account is reached."
        case 429:
            return UpstreamRateLimited, "The model's API limits the rate of this service."
        case 529:
            return UpstreamOverloaded, "The model's API is overloaded."
        case _ if 400 <= status < 500:
            return UpstreamRefused, _REFUSALS.get(status, "The model's API refuses the request.")
        case _:
            return UpstreamFailed, "The model's API failed."


def _member(body: object, *names: str) -> object:
    for name in names:
        body = body.get(name) if isinstance(body, dict) else None
    return body


def _retry_after_seconds(headers: Mapping[bytes, bytes]) -> float | None:
    """Return the wait that the API asks for: `retry-after-ms`, or `retry-after` in seconds or as an HTTP date."""
    try:
        if milliseconds := headers.get(b"retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        text = headers.get(b"retry-after", b"").decode("latin-1")
        if not text or text[0].isdigit():
            return float(text) if text else None
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
