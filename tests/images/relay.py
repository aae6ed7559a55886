"""A TLS front for a plain server: certificates of an authority of its own, on a free port of this machine."""

import contextlib
import socket
import socketserver
import ssl
import threading
from pathlib import Path
from urllib.parse import urlsplit

from devcluster.certificates import Authority


class Relay(socketserver.ThreadingTCPServer):
    """Takes TLS connections on a free port and passes what they say to a plain one: any server becomes one with TLS."""

    daemon_threads = True

    def __init__(self, folder: Path, upstream: str) -> None:
        authority = Authority(folder)
        pair = authority.issue("relay", name="relay", hosts=["127.0.0.1"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        parts = urlsplit(upstream)
        self.context = context
        self.authority = authority.certificate
        self.upstream = (parts.hostname, parts.port)
        super().__init__(("127.0.0.1", 0), RelayedConnection)

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class RelayedConnection(socketserver.BaseRequestHandler):
    server: Relay

    def handle(self) -> None:
        with (
            contextlib.suppress(OSError),  # a refused handshake, or either side leaving, ends the connection
            self.server.context.wrap_socket(self.request, server_side=True) as client,
            socket.create_connection(self.server.upstream) as upstream,
        ):
            answers = threading.Thread(target=pass_on, args=(upstream, client), daemon=True)
            answers.start()
            pass_on(client, upstream)
            answers.join()


def pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
