"""The API's errors: status, type, message, and the body and headers that say so.

ApiError            any answer that is not 2xx
├── InvalidRequest  400 invalid_request_error
├── Unauthorized    401 authentication_error
├── NotFound        404 not_found_error
└── TooLarge        413 request_too_large
"""

from http import HTTPStatus

import orjson

FIRST_SERVER_ERROR = 500
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_MESSAGES = {
    401: "invalid x-api-key",
    402: "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.",
    403: "Your API key does not have permission to use the specified resource.",
    413: "Request exceeds the maximum size",
    429: "This request would exceed your account's rate limit. Please try again later.",
    500: "Internal server error",
    504: "The request timed out while processing.",
    529: "Overloaded",
}
# Retried by a client that honours x-should-retry: seen on real 429 answers; 408, 409 and 5xx are what the SDK retries by itself.
_RETRYABLE = frozenset({408, 409, 429})
# Lasts until the next month, whatever the status says (https://platform.claude.com/docs/en/api/errors).
SPEND_LIMIT_REACHED = "enforced_spend_limit_reached"


class ApiError(Exception):
    """An error answer of the API; `retry_after` is the text of the header of that name."""

    def __init__(
        self,
        status: int,
        message: str | None = None,
        *,
        type_: str | None = None,
        error_code: str | None = None,
        retry_after: str | None = None,
    ) -> None:
        self.status = status
        self.type = type_ or _default_type(status)
        self.message = message or _MESSAGES.get(status) or _phrase(status)
        self.error_code = error_code
        self.retry_after = retry_after
        super().__init__(self.message)

    def body(self, request_id: str) -> bytes:
        """Return the error as the JSON body of an answer; also the data of a stream's `error` event."""
        error: dict[str, object] = {"type": self.type, "message": self.message}
        if self.error_code:
            error["details"] = {"error_code": self.error_code}
        return orjson.dumps({"type": "error", "error": error, "request_id": request_id})

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return retry-after and x-should-retry."""
        retryable = self.error_code != SPEND_LIMIT_REACHED and (self.status >= FIRST_SERVER_ERROR or self.status in _RETRYABLE)
        headers = [(b"x-should-retry", b"true" if retryable else b"false")]
        if self.retry_after is not None:
            headers.append((b"retry-after", self.retry_after.encode("ascii")))
        return headers


class InvalidRequest(ApiError):
    """The request breaks a rule; the message begins with the field's path."""

    def __init__(self, message: str) -> None:
        super().__init__(400, message)


class Unauthorized(ApiError):
    """There is no key, or not one that is accepted."""

    def __init__(self, message: str) -> None:
        super().__init__(401, message)


class NotFound(ApiError):
    """There is no such path or model, or the model is retired."""

    def __init__(self, message: str = "Not found") -> None:
        super().__init__(404, message)


class TooLarge(ApiError):
    """The body exceeds the API's cap."""

    def __init__(self) -> None:
        super().__init__(413)


def _default_type(status: int) -> str:
    return _TYPES.get(status) or ("api_error" if status >= FIRST_SERVER_ERROR else "invalid_request_error")


def _phrase(status: int) -> str:
    known = {member.value: member.phrase for member in HTTPStatus}
    return known.get(status, f"HTTP status {status}")
