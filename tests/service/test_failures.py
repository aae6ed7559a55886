"""Every status, type and code of an error that the API is known for, and what it means here: one table, held against the SDK's classes."""

import typing
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import anthropic
import pytest
from anthropic.types import ErrorType

from chatbot_service.errors import (
    UpstreamFailed,
    UpstreamGarbage,
    UpstreamOverloaded,
    UpstreamProblem,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamRefusedRequest,
    UpstreamRefusedSize,
    UpstreamSpent,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from chatbot_service.failures import problem_of, status_of, word

STATUSES: dict[int, tuple[type[UpstreamProblem], int]] = {
    301: (UpstreamFailed, 502),
    307: (UpstreamFailed, 502),
    400: (UpstreamRefusedRequest, 400),
    401: (UpstreamRefused, 502),
    402: (UpstreamRefused, 502),
    403: (UpstreamRefused, 502),
    404: (UpstreamRefused, 502),
    408: (UpstreamRefused, 502),
    409: (UpstreamRefused, 502),
    412: (UpstreamRefused, 502),
    413: (UpstreamRefusedSize, 413),
    422: (UpstreamRefused, 502),
    429: (UpstreamRateLimited, 429),
    431: (UpstreamRefused, 502),
    499: (UpstreamRefused, 502),
    500: (UpstreamFailed, 502),
    501: (UpstreamFailed, 502),
    503: (UpstreamFailed, 502),
    504: (UpstreamFailed, 502),
    529: (UpstreamOverloaded, 503),
    999: (UpstreamFailed, 502),
}
CODES: dict[str, type[UpstreamProblem]] = {
    "cmek_key_disabled": UpstreamRefused,
    "cmek_key_network_blocked": UpstreamRefused,
    "organization_on_hold": UpstreamRefused,
    "organization_type_not_supported": UpstreamRefused,
    "parent_organization_required": UpstreamRefused,
    "contract_spend_limit_reached": UpstreamSpent,
    "enforced_spend_limit_reached": UpstreamSpent,
    "ramp_limit_exceeded": UpstreamRateLimited,
}
"""Codes that mean something other than their status, and those of 429, each of which must be judged: does a retry help?"""
OF_NO_STATUS: dict[str, type[UpstreamProblem] | None] = {
    "APIError": None,  # a base class
    "APIStatusError": UpstreamFailed,
    "InternalServerError": UpstreamFailed,
    "APIConnectionError": UpstreamUnreachable,
    "APITimeoutError": UpstreamTimeout,
    "APIResponseValidationError": UpstreamGarbage,
    # What follows belongs to parts of the SDK that are not used here.
    "APIWebhookValidationError": None,
    "CredentialsError": None,
    "IdentityTokenFileError": None,
    "MissingDependencyError": None,
    "MutuallyExclusiveAuthError": None,
    "RetryableError": None,
    "StreamAlreadyConsumed": None,
    "ToolsetClosedError": None,
    "ToolsetConfigError": None,
    "ToolsetContractError": None,
    "ToolsetUsageError": None,
    "ToolsetsFixedError": None,
    "WorkloadIdentityError": None,
}
TYPES = {
    "invalid_request_error": UpstreamRefusedRequest,
    "authentication_error": UpstreamRefused,
    "billing_error": UpstreamRefused,
    "permission_error": UpstreamRefused,
    "not_found_error": UpstreamRefused,
    "conflict_error": UpstreamRefused,
    "memory_path_conflict_error": UpstreamRefused,
    "memory_precondition_failed_error": UpstreamRefused,
    "rate_limit_error": UpstreamRateLimited,
    "timeout_error": UpstreamFailed,
    "api_error": UpstreamFailed,
    "overloaded_error": UpstreamOverloaded,
}


def error_body(error_type: object = "api_error", *, code: object = None) -> dict[str, Any]:
    return {"type": "error", "error": {"type": error_type, "message": "canary", "details": {"error_code": code}}}


def classes_below(base: type[Exception]) -> Iterator[type[Exception]]:
    for kind in base.__subclasses__():
        yield kind
        yield from classes_below(kind)


SDK_CLASSES = sorted(set(classes_below(anthropic.AnthropicError)), key=lambda kind: kind.__name__)
STATUS_CLASSES = [kind for kind in SDK_CLASSES if hasattr(kind, "status_code")]


def code_of(kind: type[Exception]) -> str | None:
    """Return the code that makes the SDK raise just this class."""
    literal = kind.__annotations__.get("error_code")
    return typing.get_args(literal)[0] if typing.get_origin(literal) is typing.Literal else None


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_has_one_meaning(status: int) -> None:
    kind, answered = STATUSES[status]

    problem = problem_of(status, body=error_body())

    assert (type(problem), problem.status, problem.upstream_status) == (kind, answered, status)
    assert "canary" not in str(problem.body("id"))


def test_every_status_and_every_code_that_the_sdk_has_a_class_for_is_judged() -> None:
    assert len(STATUS_CLASSES) > 100
    assert {kind.status_code for kind in STATUS_CLASSES} <= STATUSES.keys()
    assert {code for kind in STATUS_CLASSES if kind.status_code == 429 and (code := code_of(kind))} <= CODES.keys()
    assert CODES.keys() <= {code_of(kind) for kind in STATUS_CLASSES}


@pytest.mark.parametrize("kind", STATUS_CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_that_the_sdk_makes_of_an_answer_is_one_of_ours(kind: Any) -> None:
    code = code_of(kind)

    problem = problem_of(kind.status_code, body=error_body(code=code))

    assert type(problem) is CODES.get(code or "", STATUSES[kind.status_code][0])


def test_every_other_error_of_the_sdk_has_its_counterpart() -> None:
    assert {kind.__name__ for kind in SDK_CLASSES if kind not in STATUS_CLASSES} == OF_NO_STATUS.keys()


def test_every_type_of_error_that_the_sdk_knows_is_known() -> None:
    assert set(typing.get_args(ErrorType)) == TYPES.keys()


@pytest.mark.parametrize("error_type", TYPES)
def test_an_error_told_within_a_stream_is_judged_by_its_type(error_type: str) -> None:
    body = error_body(error_type)

    problem = problem_of(status_of(body), body=body)

    assert (type(problem), problem.error_type) == (TYPES[error_type], error_type)


@pytest.mark.parametrize("body", [None, [], {}, {"error": None}, {"error": []}, error_body("a new one"), error_body(7), error_body(["x"])])
def test_an_error_of_another_shape_is_the_apis_own_failure(body: object) -> None:
    problem = problem_of(status_of(body), body=body)

    assert (type(problem), problem.upstream_status, problem.error_type) == (UpstreamFailed, 500, "api_error")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({b"retry-after": b"7"}, 7),
        ({b"retry-after": b"1.5"}, 1.5),
        ({b"retry-after": b"0"}, 0),
        ({b"retry-after-ms": b"250", b"retry-after": b"7"}, 0.25),
        ({b"retry-after-ms": b"soon", b"retry-after": b"7"}, 7),
        ({b"retry-after-ms": b"-5"}, None),
        ({b"retry-after": b"Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({b"retry-after": b"Wed, 21 Oct 2015 07:28:00 -0000"}, 0),
        ({b"retry-after": b"soon"}, None),
        ({b"retry-after": b"-5"}, None),
        ({b"retry-after": b"nan"}, None),
        ({b"retry-after": b"inf"}, None),
        ({b"retry-after": b"1e400"}, None),
        ({b"retry-after": b"\xff"}, None),
        ({b"retry-after": b"Wed, 99 Oct 9999999 07:28:00 GMT"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[bytes, bytes], seconds: float | None) -> None:
    assert problem_of(429, headers=headers).retry_after_seconds == seconds


def test_a_date_in_the_future_is_a_wait_until_then() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True).encode()

    seconds = problem_of(503, headers={b"retry-after": date}).retry_after_seconds

    assert seconds is not None
    assert 50 < seconds <= 100


@pytest.mark.parametrize(("value", "meaning"), [(b"true", True), (b"false", False), (b"True", None), (b"", None)])
def test_the_api_may_say_whether_to_retry(value: bytes, *, meaning: bool | None) -> None:
    assert problem_of(409, headers={b"x-should-retry": value}).should_retry is meaning


@pytest.mark.parametrize(("given", "kept"), [(b"req_011", "req_011"), (b"two words", None), (b"x" * 64, None), (b'"', None), (b"", None)])
def test_the_id_of_a_request_goes_into_logs_only_as_one_word(given: bytes, kept: str | None) -> None:
    assert problem_of(500, headers={b"request-id": given}).request_id == kept


@pytest.mark.parametrize("value", [None, 7, [], "", "two words", "x" * 64, "é"])
def test_only_a_short_word_is_one(value: object) -> None:
    assert word(value) is None
