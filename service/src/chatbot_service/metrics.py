"""Prometheus metrics, on a registry of their own. Every label has a small fixed set of values."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics, generate_latest

from chatbot_service.exchange import Exchange

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600)


class Metrics:
    """What Prometheus may read; `observe` once a request."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # not annotated there
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter("chatbot_requests", "Requests by route and status.", ["route", "status"], registry=self.registry)
        self._duration = Histogram(
            "chatbot_request_duration_seconds",
            "Time until an answer was whole.",
            ["route", "mode"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._first_token = Histogram(
            "chatbot_time_to_first_token_seconds", "Time until a streamed answer's first words.", buckets=_SECONDS, registry=self.registry
        )
        self.in_flight = Gauge("chatbot_requests_in_flight", "Chat requests being served.", registry=self.registry)
        self._upstream_errors = Counter(
            "chatbot_upstream_errors",
            "Failed calls of the model's API by HTTP status given to the client.",
            ["status"],
            registry=self.registry,
        )
        self._tokens = Counter("chatbot_tokens", "Tokens used.", ["direction"], registry=self.registry)
        self._ready = Gauge("chatbot_ready", "1 when the service may be sent traffic.", registry=self.registry)

    def observe(self, exchange: Exchange, *, status: int) -> None:
        """Count one request that is over."""
        route = "chat" if exchange.chat else "other"
        self._requests.labels(route, str(status)).inc()
        self._duration.labels(route, "stream" if exchange.streamed else "json").observe(exchange.elapsed_seconds)
        if exchange.first_token_seconds is not None:
            self._first_token.observe(exchange.first_token_seconds)

    def upstream_failed(self, status: int) -> None:
        """Count a failed call of the model's API."""
        self._upstream_errors.labels(str(status)).inc()

    def tokens_used(self, *, input_tokens: int, output_tokens: int) -> None:
        """Count the tokens of one answer."""
        self._tokens.labels("input").inc(input_tokens)
        self._tokens.labels("output").inc(output_tokens)

    def render(self, *, ready: bool) -> bytes:
        """Return every metric in Prometheus' text form."""
        self._ready.set(int(ready))
        return generate_latest(self.registry)
