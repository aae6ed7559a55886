"""Servers for tests of the client: each connection is handled byte by byte, as rightly or as wrongly as the test likes."""

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Return `data` as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass
class Peer:
    """The server's end of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: "PeerServer"

    async def request(self) -> bytes:
        """Return the next request, whole."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        _, mark, length = head.lower().partition(b"content-length: ")
        body = await self.reader.readexactly(int(length.split(b"\r\n")[0]) if mark else 0)
        self.server.requests.append(head + body)
        return head + body

    def send(self, data: bytes) -> None:
        """Send `data`, without waiting for it to be taken."""
        self.writer.write(data)

    def reset(self) -> None:
        """Close the connection by a reset instead of an end."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def left(self) -> None:
        """Wait until the client has closed the connection."""
        while await self.reader.read(65536):
            pass


@dataclass
class PeerServer:
    """A listening server; what it has seen so far."""

    port: int = 0
    scheme: str = "http"
    accepted: int = 0
    requests: list[bytes] = field(default_factory=list)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    peers: list[Peer] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Return its address, by name as certificates have it."""
        return f"{self.scheme}://{'localhost' if self.scheme == 'https' else '127.0.0.1'}:{self.port}"


@contextlib.asynccontextmanager
async def serving(
    handle: Callable[[Peer], Awaitable[None]], *, tls: ssl.SSLContext | None = None, port: int = 0, host: str = "127.0.0.1"
) -> AsyncIterator[PeerServer]:
    """Serve every connection by `handle`, which may break off as it likes; closed when it returns."""
    server = PeerServer(scheme="https" if tls else "http")
    tasks = set[asyncio.Task[None]]()

    async def run(peer: Peer) -> None:
        with contextlib.suppress(EOFError, OSError):
            await handle(peer)
        peer.writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.accepted += 1
        server.peers.append(Peer(reader, writer, server))
        tasks.add(asyncio.create_task(run(server.peers[-1])))

    listener = await asyncio.start_server(accept, host, port, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for peer in server.peers:
            peer.writer.transport.abort()


def script(*answers: bytes) -> Callable[[Peer], Awaitable[None]]:
    """Return a handler that gives one of `answers` to each request of a connection, then closes it."""

    async def handle(peer: Peer) -> None:
        for answer in answers:
            await peer.request()
            peer.send(answer)
            await peer.writer.drain()

    return handle


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """Lend a port where connecting hangs: it listens, never accepts, and its queue is full."""
    with socket.socket() as listener, socket.socket() as first:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        first.connect(listener.getsockname())
        yield listener.getsockname()[1]


@contextlib.contextmanager
def nobody() -> Iterator[int]:
    """Lend a port where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


async def until(condition: Callable[[], object], *, seconds: float = 5) -> None:
    """Return as soon as `condition` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not so within {seconds} s"
        await asyncio.sleep(0.001)


def write_certificate(folder: Path, *, name: str = "localhost") -> tuple[Path, ssl.SSLContext]:
    """Return the file of a self-signed certificate of `name`, its own authority, and a server's context that shows it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject_name=subject, issuer_name=subject, public_key=key.public_key(), serial_number=1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "ca.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate_file, key_file)
    return certificate_file, context
