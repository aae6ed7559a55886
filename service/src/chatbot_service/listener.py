"""One port: its socket, its connections, and how it stops without turning away anybody who has already come."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn
from starlette.types import ASGIApp

from chatbot_service.errors import StartupFailed
from chatbot_service.port import Patience, Port
from chatbot_service.protocol import Protocol

BACKLOG = 2048
UNSENT_BYTES = 16 * 1024
"""In the kernel, of what a client's window has no room for. Without it, the kernel takes 4 MB for each client that reads nothing."""
GRACE_SECONDS = 1
"""For a request that is on its way on a connection that is about to be closed."""
END_SECONDS = 0.5
DATE_SECONDS = 1.0


def bind(host: str, port: int, *, variable: str) -> socket.socket:
    """Return a listening socket, for both families when `host` is empty or `::`; raises StartupFailed that names what is wrong."""
    both = host in ("", "::") and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both or ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        # A resolver's errors are negative, and Python appends to every message what was attempted.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror).partition(" (")[0]
        place = f"{host} port {port}" if host else f"port {port}"
        raise StartupFailed(f"cannot listen on {place} ({variable}): {reason}") from error
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)  # its connections inherit it
    return listening


class Listener(uvicorn.Server):
    """Serves `app` on one socket. `serve` runs until `end`; the rest says how that is prepared, in this order."""

    def __init__(self, app: ASGIApp, *, patience: Patience | None = None) -> None:
        self.port = Port(patience or Patience())
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # it trusts what uvicorn was told, not TRUSTED_PROXIES
                timeout_keep_alive=self.port.patience.next_request,
            )
        )
        self.server_state = self.port
        self.accepting = asyncio.Event()
        self._over = asyncio.Event()
        self._backlogs: list[socket.socket] = []

    @property
    def open_connections(self) -> int:
        """Return how many clients are connected."""
        return len(self.port.connections)

    def end_after_answers(self) -> None:
        """Make every answer from now on the last of its connection."""
        self.port.ending = True
        for connection in self._connections():
            connection.end_after_answer()

    async def close(self) -> None:
        """Take in the connections that wait to be accepted, then no more; close those that are idle."""
        loop = asyncio.get_running_loop()
        for server in self.servers:
            server.close()
        for backlog in self._backlogs:
            with backlog:
                for connection in _accept_waiting(backlog):
                    await loop.connect_accepted_socket(self._connect, connection)
        await asyncio.sleep(0)  # lets the event loop read what has come in by now
        for known in self._connections():
            known.end_when_idle(GRACE_SECONDS)

    async def emptied(self) -> None:
        """Return when no client is connected any more."""
        while self.port.connections:
            self.port.connection_left.clear()
            await self.port.connection_left.wait()

    def end(self) -> None:
        """Let `serve` return."""
        self._over.set()

    async def main_loop(self) -> None:
        """Renew the answers' Date once a second until the end; uvicorn's own loop wakes up ten times as often to look for it."""
        while not self._over.is_set():
            await self.on_tick(0)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), timeout=DATE_SECONDS)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept, and say so."""
        loop = asyncio.get_running_loop()
        # Closing a listening socket resets what waits in its backlog: it must stay open, under another number, until that is empty.
        self._backlogs = [listening.dup() for listening in sockets or []]
        self.servers = [await loop.create_server(self._connect, sock=listening, backlog=BACKLOG) for listening in sockets or []]
        self.started = True
        self.accepting.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002  as uvicorn has it
        """End what is left."""
        for server in self.servers:
            server.close()
        for backlog in self._backlogs:
            backlog.close()
        for connection in self._connections():
            connection.abort()
        if self.port.tasks:
            _, left = await asyncio.wait(self.port.tasks, timeout=END_SECONDS)
            for task in left:
                task.cancel()

    def _connect(self) -> Protocol:
        return Protocol(self.config, self.port, loop=asyncio.get_running_loop())

    def _connections(self) -> list[Protocol]:
        return [connection for connection in self.port.connections if isinstance(connection, Protocol)]


def _accept_waiting(backlog: socket.socket) -> Iterator[socket.socket]:
    """Yield connections until there are none, or no descriptors for them: whoever has been let in must not pay for that."""
    backlog.setblocking(False)
    with suppress(OSError):
        while True:
            with suppress(ConnectionAbortedError):
                yield backlog.accept()[0]
