"""A listener in a thread of its own, in the event loop that the service runs on, with a small application behind it."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import uvloop
from starlette.types import Receive, Scope, Send

from chatbot_service.listener import Listener, bind
from chatbot_service.port import Patience
from chatbot_service.protocol import Protocol
from tests.service.conftest import Reply
from tests.waiting import wait_until

GET = b"GET / HTTP/1.1\r\n"
HOST = b"host: a\r\n"
LAST = b"connection: close\r\n\r\n"


@dataclass
class App:
    """Answers with what it was asked; `/early` does not read its body, `/held` waits, `/begun` within its answer, `/endless` never ends."""

    seen: list[str] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    sent_bytes: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(scope["path"])
        if scope["path"] == "/early":
            await answer(send, 413, b"too large")
        elif scope["path"] == "/endless":
            await self._stream(receive, send)
        elif scope["path"] == "/held":
            await self._hold(receive, send)
        elif scope["path"] == "/begun":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
            await self.release.wait()
            await send({"type": "http.response.body", "body": b"begun"})
        else:
            body = await whole_body(receive)
            if body is None:
                self.left.set()
                return
            fields = [name.decode() for name, _ in scope["headers"]]
            await answer(send, 200, json.dumps({"method": scope["method"], "body": body.decode(), "fields": fields}).encode())

    async def _stream(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        gone = asyncio.ensure_future(disconnected(receive))
        while not gone.done():
            await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
            self.sent_bytes += 1000
            await asyncio.sleep(0)
        self.left.set()

    async def _hold(self, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(disconnected(receive))
        released = asyncio.ensure_future(self.release.wait())
        await asyncio.wait({gone, released}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            self.left.set()
        gone.cancel()
        released.cancel()
        await answer(send, 200, b"held")


async def whole_body(receive: Receive) -> bytes | None:
    """Return the request's body, or None if its client leaves before the end."""
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += bytes(message["body"])
        if not message["more_body"]:
            return body
    return None


async def disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def answer(send: Send, status: int, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Server:
    """A listener in a thread of its own."""

    app: App
    listener: Listener
    loop: asyncio.AbstractEventLoop
    port: int

    def connect(self, *, receive_buffer: int | None = None) -> socket.socket:
        connection = socket.socket()
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(20)
        try:
            connection.connect(("127.0.0.1", self.port))
        except OSError:
            connection.close()
            raise
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def call(self, function: Callable[..., object], *arguments: object) -> Any:
        """Return what `function` returns in the server's loop."""

        async def run() -> object:
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(timeout=20)

    def ask(self, data: bytes) -> list[Reply]:
        """Return the answers to `data`, sent at once, until the server closes."""
        with self.connect() as connection:
            connection.sendall(data)
            return parse(read_all(connection))

    def only_connection(self) -> Protocol:
        """Return the one connection that is open, waiting for it."""
        wait_until(lambda: self.listener.open_connections == 1)
        (connection,) = self.listener.port.connections
        assert isinstance(connection, Protocol)
        return connection


@contextlib.contextmanager
def serve(**patience: Any) -> Iterator[Server]:
    """Serve `App` until the block ends."""
    listening = bind("127.0.0.1", 0, variable="PORT")
    started: list[Server] = []
    ready = threading.Event()

    async def run() -> None:
        app = App()
        listener = Listener(app, patience=Patience(**patience))
        started.append(Server(app, listener, asyncio.get_running_loop(), listening.getsockname()[1]))
        task = asyncio.create_task(listener.serve(sockets=[listening]))
        await listener.accepting.wait()
        ready.set()
        await task

    thread = threading.Thread(target=lambda: asyncio.Runner(loop_factory=uvloop.new_event_loop).run(run()))
    thread.start()
    assert ready.wait(20)
    try:
        yield started[0]
    finally:
        started[0].loop.call_soon_threadsafe(started[0].listener.end)
        thread.join()


def read_all(connection: socket.socket) -> bytes:
    """Return everything until the server closes; a reset fails the test."""
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    return data


def read_one(connection: socket.socket, data: bytes = b"") -> Reply:
    """Return one answer with a Content-Length, of which `data` has been read."""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(1)
        assert chunk, data
        data += chunk
    length = int(parse_head(data)[1]["content-length"])
    while len(data) < data.index(b"\r\n\r\n") + 4 + length:
        data += connection.recv(1)
    return parse(data)[0]


def parse_head(data: bytes) -> tuple[int, dict[str, str]]:
    status, *lines = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    return int(status.split(" ")[1]), {line.partition(":")[0]: line.partition(":")[2].strip() for line in lines}


def parse(data: bytes) -> list[Reply]:
    """Return the answers in `data`, each with its Content-Length."""
    replies = []
    while data:
        status, headers = parse_head(data)
        begin = data.index(b"\r\n\r\n") + 4
        end = begin + int(headers["content-length"])
        replies.append(Reply(status, headers, data[begin:end]))
        data = data[end:]
    return replies
