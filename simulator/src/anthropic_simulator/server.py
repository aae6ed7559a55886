"""uvicorn as the simulator needs it: every request knows its connection (to cut it), and a signal ends the process at once with code 0."""

import asyncio
import socket
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.auto import AutoHTTPProtocol

KEEP_ALIVE_SECONDS = 300
BACKLOG = 2048


class ConnectionAwareProtocol(AutoHTTPProtocol):  # type: ignore[valid-type,misc] # uvicorn types its choice of parser as a variable
    """Leaves the connection's transport in the state of each of its requests."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection."""
        super().connection_made(transport)
        self.app_state: dict[str, Any] = {**self.app_state, "transport": transport}


class Server(uvicorn.Server):
    """Says where it listens once it does; ends open answers instead of waiting for them."""

    def __init__(self, app: Starlette, listener: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=ConnectionAwareProtocol,
                lifespan="off",
                ws="none",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                log_level="error",
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=1,
                backlog=BACKLOG,
            ),
        )
        self._listener = listener

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then print the start line."""
        await super().startup(sockets)
        print(f"anthropic-simulator is listening on {_url(self._listener)}", flush=True)  # noqa: T201 (the start line)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ask for the end; unlike uvicorn's own, the signal is not raised again, so that the exit code is 0."""
        del sig, frame
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Cut every connection, busy or not, and stop."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
