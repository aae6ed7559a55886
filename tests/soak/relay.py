"""A wire between the service and the simulator that knows the moment at which the service lets go of it."""

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.conftest import Simulator


@dataclass
class Link:
    """One connection of the service: whether it was answered on, and when (monotonic) the service closed it."""

    answered: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)
    closed_at: float = 0


class Relay(socketserver.ThreadingTCPServer):
    """Passes bytes both ways. `latest` is the connection that the service wrote to last."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self, simulator: Simulator) -> None:
        parts = urlsplit(simulator.url)
        self.target = (parts.hostname, parts.port)
        self.latest: Link | None = None
        super().__init__(("127.0.0.1", 0), RelayedConnection)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class RelayedConnection(socketserver.BaseRequestHandler):
    server: Relay
    request: socket.socket

    def handle(self) -> None:
        link = Link()
        with socket.create_connection(self.server.target) as upstream:
            answering = threading.Thread(target=self.pass_answers, args=(upstream, link), daemon=True)
            answering.start()
            with contextlib.suppress(ConnectionError):
                while data := self.request.recv(65536):
                    link.answered.clear()
                    self.server.latest = link
                    upstream.sendall(data)
            link.closed_at = time.monotonic()
            link.closed.set()
            upstream.shutdown(socket.SHUT_RDWR)
            answering.join()

    def pass_answers(self, upstream: socket.socket, link: Link) -> None:
        with contextlib.suppress(OSError):
            while data := upstream.recv(65536):
                self.request.sendall(data)
                link.answered.set()
            self.request.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def relay_to(simulator: Simulator) -> Iterator[Relay]:
    """Run a relay on a free port until the block ends."""
    with Relay(simulator) as relay:
        serving = threading.Thread(target=relay.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield relay
        finally:
            relay.shutdown()
            serving.join()
