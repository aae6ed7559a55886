"""What every request meets first, as ASGI middleware: the body's cap, the request id, key and version, and the error answers.

Adds `request-id` and the rate-limit headers to every answer under /v1. Leaves the body in the scope's state, for nobody can read it twice.
"""

import functools
import time
from datetime import UTC, datetime

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anthropic_simulator.answers import derive_id
from anthropic_simulator.errors import ApiError, InvalidRequest, TooLarge, Unauthorized

MAX_BODY_BYTES = 32 * 1024 * 1024
VERSIONS = frozenset({"2023-01-01", "2023-06-01", "2026-10-21"})
ORGANIZATION_ID = b"00000000-0000-4000-8000-000000000001"
_LIMITS = {"requests": 4000, "tokens": 2_480_000, "input-tokens": 2_000_000, "output-tokens": 480_000}


class EdgeMiddleware:
    """Refuses what has no business inside, and turns every ApiError into its answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["body"] = b""
        state["request_id"] = derive_id("req", scope["method"].encode("ascii"), scope["raw_path"], scope["query_string"])
        if scope["path"].startswith("/v1/"):
            send = _with_api_headers(send, state)
        try:
            await self._pass(scope, receive, send)
        except ApiError as error:
            headers = {name.decode("ascii"): value.decode("ascii") for name, value in error.headers()}
            response = Response(error.body(state["request_id"]), error.status, headers, "application/json")
            await response(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope["state"]
        body = await _read_body(Headers(scope=scope), receive)
        if body:
            state["body"] = body
            state["request_id"] = derive_id("req", scope["method"].encode("ascii"), scope["raw_path"], scope["query_string"], body)
        if scope["path"].startswith("/v1/"):
            _check_key(Headers(scope=scope))
            _check_version(Headers(scope=scope))
        await self.app(scope, receive, send)


def _with_api_headers(send: Send, state: dict[str, object]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            request_id = (b"request-id", str(state["request_id"]).encode("ascii"))
            message["headers"] = [*message["headers"], request_id, *_rate_limit_headers(int(time.time()))]
        await send(message)

    return send_with_headers


@functools.lru_cache(maxsize=1)
def _rate_limit_headers(now: int) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers of an account that has all of its limits left."""
    reset = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode("ascii")
    headers = [(b"anthropic-organization-id", ORGANIZATION_ID)]
    for name, limit in _LIMITS.items():
        prefix = b"anthropic-ratelimit-" + name.encode("ascii")
        headers += [(prefix + b"-limit", b"%d" % limit), (prefix + b"-remaining", b"%d" % limit), (prefix + b"-reset", reset)]
    return tuple(headers)


async def _read_body(headers: Headers, receive: Receive) -> bytes:
    """Return the whole body; raises TooLarge as soon as that is known, ClientDisconnect when the client leaves before its end."""
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > MAX_BODY_BYTES:
        raise TooLarge
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge
        if not message.get("more_body", False):
            return bytes(body)


def _check_key(headers: Headers) -> None:
    """Accept any key that does not begin with `invalid`, in either of the two headers."""
    key = headers.get("x-api-key", "").strip()
    scheme, _, token = headers.get("authorization", "").partition(" ")
    token = token.strip() if scheme.lower() == "bearer" else ""
    if not key and not token:
        raise Unauthorized("x-api-key header is required")
    if key.startswith("invalid"):
        raise Unauthorized("invalid x-api-key")
    if token.startswith("invalid"):
        raise Unauthorized("Invalid bearer token")


def _check_version(headers: Headers) -> None:
    version = ", ".join(headers.getlist("anthropic-version"))
    if not version:
        raise InvalidRequest("anthropic-version: header is required")
    if version not in VERSIONS:
        raise InvalidRequest(f'anthropic-version: "{version}" is not a valid version')
