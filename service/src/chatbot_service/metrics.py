"""Metrics of what happens, counted here; what merely is at a moment is read by `gauges` at the scrape, which `exposition` answers.

Names and labels are OpenTelemetry's for HTTP and generative AI, spelled as Prometheus does, where they exist; ours begin with
`chatbot_`. Every label has a small fixed set of values, and a client or the model's API can add none. What a rate is taken of is there
from the start, at 0: Prometheus cannot tell the first one from what was counted before its first scrape.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from chatbot_service.conversation import Usage
from chatbot_service.counters import Counter
from chatbot_service.errors import Problem, UpstreamProblem
from chatbot_service.exchange import Exchange
from chatbot_service.histograms import Histogram, Series

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER = "_OTHER"
"""OpenTelemetry's word for a value outside of a label's set."""

METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
ERROR_TYPES = frozenset(
    {
        "api_error",
        "authentication_error",
        "billing_error",
        "conflict_error",
        "connection_error",
        "invalid_answer",
        "invalid_request_error",
        "memory_path_conflict_error",
        "memory_precondition_failed_error",
        "not_found_error",
        "overloaded_error",
        "permission_error",
        "rate_limit_error",
        "request_too_large",
        "timeout",
        "timeout_error",
        "tls_error",
        "truncated",
    }
)
"""The types that the model's API documents, and our own for what is no answer."""

# The bounds are the conventions', and beyond them what an answer of minutes and an objective of 3 s need.
_REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 3, 5, 7.5, 10, 15, 30, 60, 120, 300, 600)
_OPERATION_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68, 655.36)
_FIRST_TOKEN_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 3, 5, 7.5, 10, 15, 30)
_TOKENS = tuple(4**power for power in range(14))
_SHED = ("queue_full", "queue_timeout", "body_memory")
_SCOPES = ("pod", "client")
_LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)

_GEN_AI = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "anthropic"}
_OPERATION = tuple(_GEN_AI.values())
_GEN_AI_LABELS = [*_GEN_AI, "gen_ai_request_model"]


class _Answered(NamedTuple):
    """What a model's answers are counted in."""

    seconds: Series
    input_tokens: Series
    output_tokens: Series


class Metrics:
    """What is counted as it happens."""

    def __init__(self) -> None:
        self.histograms: list[Histogram] = []
        self.counters: list[Counter] = []
        self.last_error_type: str | None = None
        self._requests = self._histogram(
            "http_server_request_duration_seconds",
            "Time from a request's head until its answer was whole, on the service's port.",
            ["http_request_method", "http_route", "http_response_status_code", "error_type", "chatbot_streamed"],
            bounds=_REQUEST_SECONDS,
        )
        self._first_token = self._histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "Time from a request's head until the first words of its streamed answer.",
            list(_GEN_AI),
            bounds=_FIRST_TOKEN_SECONDS,
        ).series(*_OPERATION)
        self._operations = self._histogram(
            "gen_ai_client_operation_duration_seconds",
            "Time of one attempt at the model's API.",
            [*_GEN_AI_LABELS, "error_type"],
            bounds=_OPERATION_SECONDS,
        )
        self._token_usage = self._histogram(
            "gen_ai_client_token_usage",
            "Tokens of one answer, as the model's API counts them.",
            [*_GEN_AI_LABELS, "gen_ai_token_type"],
            bounds=_TOKENS,
        )
        self._answered: dict[str, _Answered] = {}
        self._loop_lag = self._histogram(
            "chatbot_event_loop_lag_seconds", "How much later than due the event loop ran a timer.", [], bounds=_LAG_SECONDS
        ).series()
        self._retries = self._counter("chatbot_upstream_retries", "Further attempts at the same model for one request.", ["model"])
        self._shed = self._counter("chatbot_requests_shed", f"Requests refused for want of room: {', '.join(_SHED)}.", ["reason"])
        self._limited = self._counter("chatbot_requests_rate_limited", "Requests refused by this pod's rate limits.", ["scope"])
        for reason in _SHED:
            self._shed.announce(reason)
        for scope in _SCOPES:
            self._limited.announce(scope)

    def announce_chat(self, route: str) -> None:
        """Show the chat requests of `route` at 0: those that are answered, and each way in which one can fail."""
        for streamed in ("false", "true"):
            self._requests.series("POST", route, 200, "", streamed)
        for failure in sorted(_chat_failures()):
            self._requests.announce("POST", route, *failure)

    def announce_model(self, model: str) -> None:
        """Show the attempts at `model` and their tokens at 0."""
        self._answered[model] = self._answered_by(model)
        self._retries.announce(model)
        for error_type in (*sorted(ERROR_TYPES), OTHER):
            self._operations.announce(*_OPERATION, model, error_type)

    def request_ended(self, exchange: Exchange, *, route: str) -> None:
        """Count one request that is over."""
        method, status = exchange.method, exchange.final_status
        error_type = exchange.error_code or str(status) if exchange.failed else ""
        streamed = "true" if exchange.streamed else "false"
        series = self._requests.series(method if method in METHODS else OTHER, route, status, error_type, streamed)
        series.observe(exchange.seconds)
        if exchange.first_token_seconds is not None:
            self._first_token.observe(exchange.first_token_seconds)

    def attempt_failed(self, model: str, *, seconds: float, error_type: str) -> None:
        """Count one attempt at the model's API that came to an error, and to which."""
        self.last_error_type = error_type if error_type in ERROR_TYPES else OTHER
        self._operations.series(*_OPERATION, model, self.last_error_type).observe(seconds)

    def attempt_succeeded(self, model: str, usage: Usage, *, seconds: float) -> None:
        """Count one attempt at the model's API that came to an answer, and what that cost."""
        series = self._answered.get(model)
        if series is None:
            series = self._answered[model] = self._answered_by(model)
        series.seconds.observe(seconds)
        series.input_tokens.observe(usage.input_tokens)
        series.output_tokens.observe(usage.output_tokens)

    def retried(self, model: str) -> None:
        """Count an attempt that is not the first."""
        self._retries.count(model)

    def shed(self, reason: str) -> None:
        """Count a request that was refused for want of room: a slot, time in the queue, or memory for its body."""
        self._shed.count(reason)

    def rate_limited(self, scope: str) -> None:
        """Count a request over a rate limit: the whole pod's, or one client's."""
        self._limited.count(scope)

    def loop_lagged(self, seconds: float) -> None:
        """Count one measurement of the event loop's lag."""
        self._loop_lag.observe(seconds)

    def _answered_by(self, model: str) -> _Answered:
        tokens = self._token_usage
        return _Answered(
            self._operations.series(*_OPERATION, model, ""),
            tokens.series(*_OPERATION, model, "input"),
            tokens.series(*_OPERATION, model, "output"),
        )

    def _histogram(self, name: str, text: str, labels: Sequence[str], *, bounds: Sequence[float]) -> Histogram:
        histogram = Histogram(name, text, labels, bounds=bounds)
        self.histograms.append(histogram)
        return histogram

    def _counter(self, name: str, text: str, labels: Sequence[str]) -> Counter:
        counter = Counter(name, text, labels)
        self.counters.append(counter)
        return counter


def _chat_failures() -> Iterator[tuple[int, str, str]]:
    """Yield status, error type and whether it streams for each way in which a chat request can fail: an own 5xx, or within a stream."""
    kinds = list(_kinds(Problem))
    for status, code in {(kind.status, kind.code) for kind in kinds if kind.status >= 500}:
        yield status, code, "false"
        yield status, code, "true"
    for code in {kind.code for kind in kinds if kind.status >= 500 or issubclass(kind, UpstreamProblem)}:
        yield 200, code, "true"


def _kinds(problem: type[Problem]) -> Iterator[type[Problem]]:
    """Yield `problem` and every kind of it."""
    yield problem
    for kind in problem.__subclasses__():
        yield from _kinds(kind)
