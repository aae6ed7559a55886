"""Who may come in: the client's token, the rate limits, and whether there is room at all, in this order and before anything is read.

It stands before the routes of the API alone, so that neither probes nor what the router refuses take a part of any limit.
"""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Receive, Scope, Send

from chatbot_service.addresses import network_of
from chatbot_service.errors import Unauthorized
from chatbot_service.exchange import Exchange
from chatbot_service.runtime import Runtime


class Admission:
    """Serves a request by `app`, or raises Unauthorized, RateLimited or Busy."""

    def __init__(self, app: ASGIApp, *, runtime: Runtime) -> None:
        self._app = app
        self._tokens = runtime.tokens
        self._limits = runtime.limits
        self._slots = runtime.slots

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request."""
        exchange = Exchange.of(scope)
        client = self._client(exchange)
        if self._limits is not None:
            self._limits.admit(client)
        self._slots.check()
        return self._app(scope, receive, send)

    def _client(self, exchange: Exchange) -> str:
        """Return what the client is known by: its token's hash where tokens are asked for, else its address."""
        if self._tokens is None:
            return network_of(exchange.client_ip)
        client = self._tokens.client_of(exchange.headers)
        if client is None:
            raise Unauthorized("Show a token of this service, as Authorization: Bearer or as x-api-key.")
        return client
