"""What the simulator has seen: the counts behind GET /_simulator/requests, kept by an ASGI middleware around the whole application."""

from collections import Counter
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_PATHS = 1000


class Ledger:
    """Counts of requests; `open` is a gauge, the others only grow until they are forgotten."""

    def __init__(self) -> None:
        self.open = 0
        self.forget()

    def forget(self) -> None:
        """Set every count but `open` to zero."""
        self.total = 0
        self.cancelled = 0
        self.by_path: Counter[str] = Counter()
        self.by_status: Counter[str] = Counter()

    def begin(self, path: str) -> None:
        """Count a request as it arrives; past 1 000 different paths the rest is counted as `other`."""
        self.total += 1
        self.open += 1
        self.by_path[path if path in self.by_path or len(self.by_path) < MAX_PATHS else "other"] += 1

    def snapshot(self) -> dict[str, Any]:
        """Return {total, by_path, by_status, open, cancelled}."""
        return {
            "total": self.total,
            "by_path": self.by_path,
            "by_status": self.by_status,
            "open": self.open,
            "cancelled": self.cancelled,
        }


class LedgerMiddleware:
    """Counts every request but those to the simulator itself: its control paths and its probe."""

    def __init__(self, app: ASGIApp, *, ledger: Ledger) -> None:
        self.app = app
        self.ledger = ledger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request, its status as the answer starts, its end, and a client that leaves (ClientDisconnect)."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path == "/healthz" or path.startswith("/_simulator/"):
            await self.app(scope, receive, send)
            return

        count = _Count(self.ledger, path)

        async def counting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.ledger.by_status[str(message["status"])] += 1
            elif not message.get("more_body", False):
                count.end()
            await send(message)

        try:
            await self.app(scope, receive, counting_send)
        except ClientDisconnect:
            self.ledger.cancelled += 1
        finally:
            count.end()


class _Count:
    """One request's share of `open`: given back once, before the last byte goes out, so that who has the answer sees it closed."""

    def __init__(self, ledger: Ledger, path: str) -> None:
        self._ledger = ledger
        self._open = True
        ledger.begin(path)

    def end(self) -> None:
        if self._open:
            self._open = False
            self._ledger.open -= 1
