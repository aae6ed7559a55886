"""What is kept of an exchange that is over: its line in the log, and its part in the metrics and in the report's windows."""

from collections.abc import Collection
from typing import Any

from chatbot_service.durations import format_duration
from chatbot_service.errors import Busy, CircuitOpen, NotReady, ShuttingDown
from chatbot_service.exchange import Exchange
from chatbot_service.runtime import Runtime
from chatbot_service.telemetry import line_writer

_TURNED_AWAY = frozenset(problem.code for problem in (Busy, CircuitOpen, NotReady, ShuttingDown))


class AccessLog:
    """Writes one line an exchange."""

    def __init__(self, runtime: Runtime, *, level: str = "info") -> None:
        self._write = line_writer(level, "HTTP request completed", settings=runtime.settings, output=runtime.output)

    def __call__(self, exchange: Exchange) -> None:
        """Record one."""
        fields: dict[str, Any] = {
            "correlation_id": exchange.correlation_id,
            "http_method": exchange.method,
            "http_path": exchange.path,
            "http_status": exchange.final_status,
            "duration": format_duration(exchange.seconds),
            "client_ip": exchange.client_ip,
            "response_size": exchange.response_bytes if exchange.method != "HEAD" else 0,
        }
        if exchange.outcome is not None:
            fields["outcome"] = exchange.outcome
        if exchange.error_code is not None:
            fields["error_code"] = exchange.error_code
        self._write(fields)


class Counts:
    """Feeds the metrics, and by the chat requests among the exchanges the report's windows."""

    def __init__(self, runtime: Runtime, *, routes: Collection[str], chat_route: str) -> None:
        self._metrics = runtime.metrics
        self._traffic = runtime.traffic
        self._routes = frozenset(routes)
        self._chat_route = chat_route
        self._metrics.announce_chat(chat_route)

    def __call__(self, exchange: Exchange) -> None:
        """Record one."""
        self._metrics.request_ended(exchange, route=exchange.path if exchange.path in self._routes else "")
        if exchange.path == self._chat_route and exchange.method == "POST":
            self._count_chat(exchange)

    def _count_chat(self, exchange: Exchange) -> None:
        # What is turned away at once says nothing of how long an answer takes.
        failed = exchange.failed
        served = exchange.status == 200 or (failed and exchange.error_code not in _TURNED_AWAY)
        left = exchange.outcome == "client_left"
        self._traffic.record(
            error=failed and not left,
            latency_seconds=exchange.seconds if served and not left and not exchange.streamed else None,
            first_token_seconds=exchange.first_token_seconds,
        )
