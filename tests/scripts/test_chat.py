"""The demo's client reads an event stream as it comes, and turns every bad end into one line. The server is a plain socket."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from scripts.chat import stream_answer
from scripts.commands import Failed

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
START = b'event: start\ndata: {"id": "1", "model": "m", "correlation_id": "c"}\n\n'
DONE = b'event: done\ndata: {"stop_reason": "end_turn", "usage": {}}\n\n'


def delta(text: str) -> bytes:
    return f'event: delta\ndata: {{"text": "{text}"}}\n\n'.encode()


@contextmanager
def answering(*parts: bytes, after_first: threading.Event | None = None) -> Iterator[int]:
    """Yield the port of a server that sends `parts` to one client; the second part only after `after_first`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, parts, after_first))
        thread.start()
        yield listener.getsockname()[1]
        thread.join(timeout=10)


def _serve(listener: socket.socket, parts: tuple[bytes, ...], after_first: threading.Event | None) -> None:
    connection, _ = listener.accept()
    with connection:
        request = b""
        while not request.endswith(b"}"):  # whole: closing on unread bytes would reset the connection
            request += connection.recv(65536)
        connection.sendall(parts[0])
        if after_first:
            after_first.wait(10)
        for part in parts[1:]:
            connection.sendall(part)


def test_pieces_arrive_before_the_answer_is_complete() -> None:
    seen = threading.Event()
    with answering(HEAD + START + delta("Hel"), delta("lo") + DONE, after_first=seen) as port:
        answer = stream_answer("127.0.0.1", port, "Hi")

        assert next(answer) == "Hel"
        seen.set()
        assert list(answer) == ["lo"]


def test_pings_are_no_text() -> None:
    with answering(HEAD + START + b"event: ping\ndata: {}\n\n" + delta("x") + DONE) as port:
        assert list(stream_answer("127.0.0.1", port, "Hi")) == ["x"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (HEAD + START + delta("x") + b'event: error\ndata: {"code": "overloaded", "detail": "try later"}\n\n', "try later"),
        (HEAD + START + delta("x"), "cut off"),
        (b'HTTP/1.1 503 no\r\nContent-Length: 9\r\n\r\n{"a": 1}\n', "503"),
        (b"", "did not answer"),
    ],
    ids=["error-event", "cut", "refused", "nothing"],
)
def test_bad_end_is_said(answer: bytes, said: str) -> None:
    with answering(answer) as port, pytest.raises(Failed, match=said):
        list(stream_answer("127.0.0.1", port, "Hi"))
