"""What is answered to something that is no request, or one that cannot be taken: before the application, in bytes."""

from collections.abc import Iterable

import httptools
import structlog

from chatbot_service.errors import UNFORESEEN, HttpProblem
from chatbot_service.middleware import SECURITY_HEADERS, Field, build_answer
from chatbot_service.response import build_head
from chatbot_service.telemetry import stack_trace

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


def derive_problem(error: httptools.HttpParserError) -> HttpProblem:
    """Return the refusal for what the parser raised: one of our own, or a 400 in llhttp's words, which quote nothing."""
    cause = error.__context__
    if isinstance(cause, HttpProblem):
        return cause
    if isinstance(cause, httptools.HttpParserInvalidURLError):
        return HttpProblem(400, "The request's target cannot be read.")
    if cause is not None:
        log.error("request failed", stack_trace=stack_trace(cause))
        return HttpProblem(500, UNFORESEEN)
    return HttpProblem(400, f"This is no HTTP/1.1: {error}.")


def build_refusal(problem: HttpProblem, correlation_id: str, *, default_headers: Iterable[Field]) -> bytes:
    """Return the whole answer, the last of its connection."""
    own, body = build_answer(problem, correlation_id)
    last = [(b"x-correlation-id", correlation_id.encode()), (b"connection", b"close")]
    fields = [*default_headers, *SECURITY_HEADERS.items(), *own, *last]
    return build_head(problem.status, fields) + body
