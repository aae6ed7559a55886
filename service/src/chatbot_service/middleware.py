"""What surrounds every request, as plain ASGI: correlation id, log line, counts, and the boundary that turns errors into answers.

The servers ask for nothing but HTTP (no WebSocket, no lifespan), and CorrelationId is the outermost: the others find its exchange.
"""

import re
import uuid
from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence

import orjson
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatbot_service.addresses import Proxies
from chatbot_service.durations import format_duration
from chatbot_service.errors import UNFORESEEN, Busy, CircuitOpen, ClientLeft, NotReady, Problem, ShuttingDown
from chatbot_service.exchange import Exchange
from chatbot_service.runtime import Runtime
from chatbot_service.telemetry import stack_trace

CLIENT_CLOSED_REQUEST = 499
"""nginx' status for a client that did not wait; logged, never sent."""

SECURITY_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
"""On every answer that has none of its own by that name: answers are data for one client, never a page. OWASP, REST security."""

_TURNED_AWAY = frozenset(problem.code for problem in (Busy, CircuitOpen, NotReady, ShuttingDown))
_CORRELATION_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class CorrelationId:
    """Begins the exchange. Gives it an id, the client's own if it is harmless, and its answer the same and the security headers."""

    def __init__(self, app: ASGIApp, *, trusted_proxies: Sequence[str] = ()) -> None:
        self._app = app
        self._proxies = Proxies(trusted_proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        headers = dict(scope["headers"])
        exchange = Exchange(correlation_id(headers), self._client_ip(scope), headers)
        exchange.attach(scope)

        def send_tracked(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.body":
                exchange.response_bytes += len(message.get("body", b""))
            elif message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = _dressed(message.get("headers", ()), exchange.correlation_id)
            return send(message)

        await self._app(scope, receive, send_tracked)

    def _client_ip(self, scope: Scope) -> str:
        forwarded = (value for name, value in scope["headers"] if name == b"x-forwarded-for")
        return self._proxies.client_ip((scope.get("client") or ("", 0))[0], forwarded)


class AccessLog:
    """Writes one line a request, when its answer is whole."""

    def __init__(self, app: ASGIApp, *, level: str = "info") -> None:
        self._app = app
        bound = log.bind()  # resolved once: it costs a tenth of a line
        self._write = bound.debug if level == "debug" else bound.info

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            await self._app(scope, receive, send)
        finally:
            exchange = Exchange.of(scope)
            more = {"outcome": exchange.outcome, "error_code": exchange.error_code}
            self._write(
                "HTTP request completed",
                correlation_id=exchange.correlation_id,
                http_method=scope["method"],
                http_path=scope["path"],
                http_status=final_status(exchange),
                duration=format_duration(exchange.elapsed_seconds),
                client_ip=exchange.client_ip,
                response_size=exchange.response_bytes,
                **{name: value for name, value in more.items() if value is not None},
            )


class Counts:
    """Feeds the metrics and the report's windows."""

    def __init__(self, app: ASGIApp, *, runtime: Runtime, routes: Collection[str], chat_routes: Collection[str]) -> None:
        self._app = app
        self._runtime = runtime
        self._routes = frozenset(routes)
        self._chat_routes = frozenset(chat_routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        exchange = Exchange.of(scope)
        exchange.route = scope["path"] if scope["path"] in self._routes else ""
        exchange.chat = exchange.route in self._chat_routes and scope["method"] == "POST"
        metrics = self._runtime.metrics
        metrics.active_requests += 1
        try:
            await self._app(scope, receive, send)
        finally:
            metrics.active_requests -= 1
            metrics.request_ended(exchange, method=scope["method"], status=final_status(exchange))
            if exchange.chat:
                self._count_chat(exchange)

    def _count_chat(self, exchange: Exchange) -> None:
        # What is turned away at once says nothing of how long an answer takes.
        served = exchange.status == 200 or (exchange.failed and exchange.error_code not in _TURNED_AWAY)
        left = exchange.outcome == "client_left"
        self._runtime.traffic.record(
            error=exchange.failed and not left,
            latency_seconds=exchange.elapsed_seconds if served and not left and not exchange.streamed else None,
            first_token_seconds=exchange.first_token_seconds,
        )


class ErrorBoundary:
    """Answers every error as problem+json; what nobody foresaw is logged with its stack trace and told to nobody else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        exchange = Exchange.of(scope)
        try:
            await self._app(scope, receive, send)
        except ClientLeft:
            exchange.outcome = "client_left"
        except Problem as problem:
            await self._answer(problem, exchange, send)
        except Exception as error:  # noqa: BLE001  the request error boundary
            log.error("request failed", correlation_id=exchange.correlation_id, http_path=scope["path"], stack_trace=stack_trace(error))
            await self._answer(Problem(UNFORESEEN), exchange, send)

    async def _answer(self, problem: Problem, exchange: Exchange, send: Send) -> None:
        if exchange.status is not None:
            exchange.failed_with(problem)
            return
        exchange.error_code = problem.code
        body = orjson.dumps(problem.body(exchange.correlation_id))
        headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
        headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
        if (retry_after := problem.retry_after) is not None:
            headers.append((b"retry-after", str(retry_after).encode()))
        await send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def final_status(exchange: Exchange) -> int:
    """Return the status that was sent, or 499 when the client did not wait for one."""
    return exchange.status if exchange.status is not None else CLIENT_CLOSED_REQUEST


def correlation_id(headers: Mapping[bytes, bytes]) -> str:
    """Return the client's id if it is 1 to 128 letters, digits, dots, dashes and underscores, else a new UUID."""
    given = headers.get(b"x-correlation-id") or headers.get(b"x-request-id") or b""
    return given.decode() if _CORRELATION_ID.fullmatch(given) else str(uuid.uuid4())


def _dressed(headers: Iterable[tuple[bytes, bytes]], correlation_id: str) -> list[tuple[bytes, bytes]]:
    """Return an answer's `headers` with those that every answer has."""
    names = {name for name, _ in headers}
    added = [field for field in SECURITY_HEADERS if field[0] not in names]
    return [*headers, *added, (b"x-correlation-id", correlation_id.encode())]
