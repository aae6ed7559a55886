"""What surrounds every request, as plain ASGI: correlation id, log line, counts, and the boundary that turns errors into answers."""

import re
import uuid
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import orjson
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatbot_service.durations import format_duration
from chatbot_service.errors import UNFORESEEN, Busy, CircuitOpen, ClientLeft, NotReady, Problem, ShuttingDown
from chatbot_service.exchange import Exchange
from chatbot_service.runtime import Runtime
from chatbot_service.telemetry import stack_trace

CLIENT_CLOSED_REQUEST = 499
"""nginx' status for a client that did not wait; logged, never sent."""

_TURNED_AWAY = frozenset(problem.code for problem in (Busy, CircuitOpen, NotReady, ShuttingDown))
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class CorrelationId:
    """Gives every request an id, the client's own if it is harmless, and every answer the same; keeps the exchange's status and size."""

    def __init__(self, app: ASGIApp, *, trusted_proxies: Sequence[str] = ()) -> None:
        self._app = app
        self._trusted = tuple(ip_network(network) for network in trusted_proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        exchange = Exchange(correlation_id=correlation_id(headers), client_ip=client_ip(scope, headers, self._trusted))
        exchange.attach(scope)

        async def send_tracked(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                MutableHeaders(scope=message)["x-correlation-id"] = exchange.correlation_id
            elif message["type"] == "http.response.body":
                exchange.response_bytes += len(message.get("body", b""))
            await send(message)

        await self._app(scope, receive, send_tracked)


class AccessLog:
    """Writes one line a request, when its answer is whole."""

    def __init__(self, app: ASGIApp, *, level: str = "info") -> None:
        self._app = app
        self._level = level

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            exchange = Exchange.of(scope)
            outcome = {"outcome": exchange.outcome} if exchange.outcome is not None else {}
            write = log.debug if self._level == "debug" else log.info
            write(
                "HTTP request completed",
                correlation_id=exchange.correlation_id,
                http_method=scope["method"],
                http_path=scope["path"],
                http_status=final_status(exchange),
                duration=format_duration(exchange.elapsed_seconds),
                client_ip=exchange.client_ip,
                response_size=exchange.response_bytes,
                **outcome,
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
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
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
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
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


def correlation_id(headers: Headers) -> str:
    """Return the client's id if it is 1 to 128 letters, digits, dots, dashes and underscores, else a new UUID."""
    given = headers.get("x-correlation-id") or headers.get("x-request-id") or ""
    return given if _CORRELATION_ID.fullmatch(given) else str(uuid.uuid4())


def client_ip(scope: Scope, headers: Headers, trusted: Sequence[IPv4Network | IPv6Network]) -> str:
    """Return the peer's address or, behind trusted proxies, the rightmost forwarded one that is not such a proxy's."""
    peer = (scope.get("client") or ("", 0))[0].removeprefix("::ffff:")
    if not trusted:
        return peer
    hops = [hop.strip() for hop in ",".join(headers.getlist("x-forwarded-for")).split(",") if hop.strip()]
    for address in (peer, *reversed(hops)):
        parsed = _parsed(address)
        if parsed is None:
            break
        peer = str(parsed)
        if not any(parsed in network for network in trusted):
            break
    return peer


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(address)
    except ValueError:
        return None
