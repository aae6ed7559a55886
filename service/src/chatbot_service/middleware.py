"""What surrounds every request, as plain ASGI: the exchange with its id and its records, and the boundary that turns errors into answers.

Both are one layer, because a layer more costs every request a coroutine more.

The servers ask for nothing but HTTP (no WebSocket, no lifespan), and Exchanges is the outermost: the others find its exchange.
"""

import random
import re
from collections.abc import Awaitable, Iterable, Mapping, Sequence

import orjson
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatbot_service.addresses import Proxies
from chatbot_service.cors import Origins
from chatbot_service.errors import UNFORESEEN, ClientLeft, Problem
from chatbot_service.exchange import Exchange
from chatbot_service.journal import Journal, Record
from chatbot_service.telemetry import release_frames, stack_trace

SECURITY_HEADERS = {
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
}
"""On every answer that has none of its own by that name: answers are data for one client, never a page. OWASP, REST security."""

Field = tuple[bytes, bytes]

_CORRELATION_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_RANDOM_BITS = ~(0xF << 76 | 0b11 << 62)
_VERSION_4 = 4 << 76 | 0b10 << 62
"""RFC 9562, section 5.4: which bits of a UUID are random, and what the others are."""

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Exchanges:
    """Begins and ends every exchange, and gives its answer the correlation id and what else every answer says.

    Every error becomes an answer here. `journal` has `records` take down every exchange, whatever it came to.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        journal: Journal,
        records: Sequence[Record],
        trusted_proxies: Sequence[str] = (),
        origins: Sequence[str] = (),
    ) -> None:
        self._app = app
        self._journal = journal
        self._records = records
        self._proxies = Proxies(trusted_proxies)
        self._origins = Origins(origins, always=SECURITY_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        headers = dict(scope["headers"])
        exchange = Exchange(correlation_id(headers), self._client_ip(scope), headers, scope["method"], scope["path"])
        exchange.attach(scope)

        def send_tracked(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.body":
                exchange.response_bytes += len(message.get("body", b""))
            elif message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = self._dressed(message.get("headers", ()), exchange)
            return send(message)

        try:
            await self._app(scope, receive, send_tracked)
        except Exception as error:  # noqa: BLE001  the request error boundary
            await answer_error(error, exchange, send_tracked)
        finally:
            exchange.end()
            self._journal.add(exchange, self._records)

    def _client_ip(self, scope: Scope) -> str:
        forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        return self._proxies.client_ip((scope.get("client") or ("", 0))[0], b",".join(forwarded))

    def _dressed(self, own: Iterable[Field], exchange: Exchange) -> list[Field]:
        fields = self._origins.fields_for(exchange.headers.get(b"origin")) | dict(own)
        fields[b"x-correlation-id"] = exchange.correlation_id.encode()
        return list(fields.items())


async def answer_error(error: Exception, exchange: Exchange, send: Send) -> None:
    """Answer `error` as problem+json; what nobody foresaw is logged with its stack trace and told to nobody else."""
    if isinstance(error, ClientLeft):
        exchange.outcome = "client_left"
    elif not isinstance(error, Problem):
        log.error("request failed", correlation_id=exchange.correlation_id, http_path=exchange.path, stack_trace=stack_trace(error))
    release_frames(error)  # before the answer, for which a client may have to be waited
    if not isinstance(error, ClientLeft):
        await _answer(error if isinstance(error, Problem) else Problem(UNFORESEEN), exchange, send)


async def _answer(problem: Problem, exchange: Exchange, send: Send) -> None:
    if exchange.status is not None:
        exchange.failed_with(problem)
        return
    exchange.error_code = problem.code
    headers, body = build_answer(problem, exchange.correlation_id)
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def build_answer(problem: Problem, correlation_id: str) -> tuple[list[Field], bytes]:
    """Return the header fields that only an error has, and the body."""
    body = orjson.dumps(problem.body(correlation_id))
    fields = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body))]
    fields += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    if (retry_after := problem.retry_after) is not None:
        fields.append((b"retry-after", b"%d" % retry_after))
    return fields, body


def correlation_id(headers: Mapping[bytes, bytes]) -> str:
    """Return the client's id if it is 1 to 128 letters, digits, dots, dashes and underscores, else a new UUID."""
    given = headers.get(b"x-correlation-id") or headers.get(b"x-request-id")
    return given.decode() if given and _CORRELATION_ID.fullmatch(given) else new_id()


def new_id() -> str:
    """Return a random UUID. It is a label and no secret: that somebody could guess the next one does no harm."""
    digits = f"{random.getrandbits(128) & _RANDOM_BITS | _VERSION_4:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
