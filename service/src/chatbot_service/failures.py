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
_ACCOUNT = frozenset(
    {
        "cmek_key_disabled",
        "cmek_key_network_blocked",
        "organization_on_hold",
        "organization_type_not_supported",
        "parent_organization_required",
    }
)
"""Errors with the status of a wrong request that are no client's fault."""
_NUMBER = re.compile(rb"[0-9]{1,9}(\.[0-9]{1,9})?")
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,63}", re.ASCII)


def problem_of(status: int, *, headers: Mapping[bytes, bytes] = MappingProxyType({}), body: object = None) -> UpstreamProblem:
    """Return what an answer of the API with `status` means for the request; `body` is its decoded JSON, or any other object."""
    error_type, error_code = _text(body, "error", "type"), _text(body, "error", "details", "error_code")
    kind, detail = _kind(status, error_code)
    return kind(
        detail,
        error_type=error_type if error_type in _STATUS_OF_TYPE else None,
        upstream_status=status,
        request_id=word(headers.get(b"request-id", b"").decode("latin-1")),
        retry_after_seconds=_retry_after_seconds(headers),
        should_retry={b"true": True, b"false": False}.get(headers.get(b"x-should-retry", b"")),
    )


def status_of(body: object) -> int:
    """Return the status of an error that is told inside an answer of status 200, by its type; 500 if that is unknown."""
    return _STATUS_OF_TYPE.get(_text(body, "error", "type"), 500)


def word(value: object) -> str | None:
    """Return `value` if it is one short word: it goes into logs, metrics and reports, and comes from outside."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _kind(status: int, error_code: str) -> tuple[type[UpstreamProblem], str]:  # noqa: PLR0911  a table
    match status:
        case 400 if error_code in _ACCOUNT:
            return UpstreamRefused, "The account of this service is not in order."
        case 400:
            return UpstreamRefusedRequest, "The model's API finds the request invalid."
        case 413:
            return UpstreamRefusedSize, "The model's API finds the request too large."
        case 429 if error_code in _SPENT:
            return UpstreamSpent, "The spending limit of this service's account is reached."
        case 429:
            return UpstreamRateLimited, "The model's API limits the rate of this service."
        case 529:
            return UpstreamOverloaded, "The model's API is overloaded."
        case _ if 400 <= status < 500:
            return UpstreamRefused, _REFUSALS.get(status, "The model's API refuses the request.")
        case _:
            return UpstreamFailed, "The model's API failed."


def _text(body: object, *names: str) -> str:
    """Return the text at that place of a decoded JSON document, or an empty one."""
    for name in names:
        body = body.get(name) if isinstance(body, dict) else None
    return body if isinstance(body, str) else ""


def _retry_after_seconds(headers: Mapping[bytes, bytes]) -> float | None:
    """Return the wait that the API asks for: `retry-after-ms`, or `retry-after` in seconds or as an HTTP date."""
    milliseconds, text = headers.get(b"retry-after-ms", b""), headers.get(b"retry-after", b"")
    if _NUMBER.fullmatch(milliseconds):
        return float(milliseconds) / 1000
    return float(text) if _NUMBER.fullmatch(text) else _seconds_until(text.decode("latin-1"))


def _seconds_until(text: str) -> float | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
