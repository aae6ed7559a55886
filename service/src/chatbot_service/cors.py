"""Which pages of other origins may ask from a browser and read the answers: the WHATWG's fetch standard, section "CORS protocol".

Never with cookies, which nothing here looks at anyway.
"""

from collections.abc import Awaitable, Mapping, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from chatbot_service.exchange import Exchange

MAX_AGE_SECONDS = 3_600
_VARY = {b"vary": b"Origin"}
_EXPOSED = {b"access-control-expose-headers": b"X-Correlation-ID, Retry-After"}

Fields = Mapping[bytes, bytes]


class Origins:
    """The origins of `allowed`, in which `*` is any. `always` is what an answer to whichever page has besides."""

    def __init__(self, allowed: Sequence[str], *, always: Fields) -> None:
        self._of_none = {**always, **_VARY} if allowed else {**always}
        fields = {origin: {**self._of_none, **_EXPOSED, b"access-control-allow-origin": origin} for origin in map(str.encode, allowed)}
        self._of_others = fields.pop(b"*", self._of_none)
        self._of_known = fields

    def fields_for(self, origin: bytes | None) -> dict[bytes, bytes]:
        """Return the header fields of an answer to a page of `origin`."""
        return self._of_none if origin is None else self._of_known.get(origin, self._of_others)


class Preflights:
    """Has Starlette answer what a browser asks before the request itself; nothing else passes through Starlette's layer."""

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
        from starlette.middleware.cors import CORSMiddleware  # noqa: PLC0415  without origins nobody needs it

        self._app = app
        self._answer = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Correlation-ID", "X-Request-ID"],
            max_age=MAX_AGE_SECONDS,
        )

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request."""
        if scope["method"] == "OPTIONS" and _is_preflight(scope):
            return self._answer(scope, receive, send)
        return self._app(scope, receive, send)


def _is_preflight(scope: Scope) -> bool:
    headers = Exchange.of(scope).headers
    return b"origin" in headers and b"access-control-request-method" in headers
