"""Every error of the SDK's own transport, and what the same misfortune is here: provoked on both wherever it can be."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx2
import pytest

from chatbot_service.errors import UpstreamGarbage, UpstreamProblem, UpstreamTimeout, UpstreamUnreachable
from tests.service.peers import CHUNKED, Peer, chunk, full_backlog, nobody, script, serving
from tests.service.wires import client_of

LARGE = b"a" * 20_000_000


async def reset_at_once(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def reset_within_the_request(peer: Peer) -> None:
    await peer.reader.read(1)
    peer.reset()


async def read_nothing(peer: Peer) -> None:
    peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # what a socket's transport can
    await peer.server.closing.wait()


@contextlib.asynccontextmanager
async def port_of(handle: Callable[[Peer], Awaitable[None]]) -> AsyncIterator[int]:
    async with serving(handle) as server:
        yield server.port


@contextlib.asynccontextmanager
async def lent(place: Callable[[], contextlib.AbstractContextManager[int]]) -> AsyncIterator[int]:
    with place() as port:
        yield port


PROVOKED: dict[str, tuple[Callable[[], contextlib.AbstractAsyncContextManager[int]], bytes, type[Exception], type[UpstreamProblem]]] = {
    "nobody listens": (lambda: lent(nobody), b"x", httpx2.ConnectError, UpstreamUnreachable),
    "connecting hangs": (lambda: lent(full_backlog), b"x", httpx2.ConnectTimeout, UpstreamTimeout),
    "no answer": (lambda: port_of(Peer.left), b"x", httpx2.ReadTimeout, UpstreamTimeout),
    "a stall": (lambda: port_of(stall), b"x", httpx2.ReadTimeout, UpstreamTimeout),
    "the request is not taken": (lambda: port_of(read_nothing), LARGE, httpx2.WriteTimeout, UpstreamTimeout),
    "a reset": (lambda: port_of(reset_at_once), b"x", httpx2.ReadError, UpstreamUnreachable),
    "a reset within the request": (lambda: port_of(reset_within_the_request), LARGE, httpx2.ReadError, UpstreamUnreachable),
    "nothing": (lambda: port_of(script(b"")), b"x", httpx2.RemoteProtocolError, UpstreamUnreachable),
    "garbage": (lambda: port_of(script(b"SSH-2.0-OpenSSH\r\n")), b"x", httpx2.RemoteProtocolError, UpstreamGarbage),
    "half an answer": (lambda: port_of(script(CHUNKED + chunk(b"half"))), b"x", httpx2.RemoteProtocolError, UpstreamGarbage),
}
NOT_PROVOKED = {
    httpx2.CloseError: "closing is an abort, which cannot fail",
    httpx2.CookieConflict: "no cookies are kept",
    httpx2.DecodingError: "nothing is unpacked: what is packed all the same is no JSON, so UpstreamGarbage",
    httpx2.HTTPStatusError: "test_failures.py",
    httpx2.InvalidURL: "Settings refuses it",
    httpx2.LocalProtocolError: "the SDK makes the head, test_sdk.py",
    httpx2.PoolTimeout: "nothing waits for a connection",
    httpx2.ProxyError: "there is no proxy",
    httpx2.RequestNotRead: "a misuse of httpx2",
    httpx2.ResponseNotRead: "a misuse of httpx2",
    httpx2.SSEError: "events are read by ours, test_sse.py",
    httpx2.StreamClosed: "a misuse of httpx2",
    httpx2.StreamConsumed: "a misuse of httpx2",
    httpx2.TooManyRedirects: "none is followed: a 3xx is UpstreamFailed, test_failures.py",
    httpx2.UnsupportedProtocol: "Settings refuses it",
    httpx2.WriteError: "the transport looks for an answer first and reports a ReadError",
}
PHASES: dict[type[Exception], str] = {httpx2.ConnectTimeout: "connect", httpx2.ReadTimeout: "read", httpx2.WriteTimeout: "write"}
BASES = {
    httpx2.HTTPError,
    httpx2.NetworkError,
    httpx2.ProtocolError,
    httpx2.RequestError,
    httpx2.StreamError,
    httpx2.TimeoutException,
    httpx2.TransportError,
}


async def stall(peer: Peer) -> None:
    await peer.request()
    peer.send(CHUNKED + chunk(b"half"))
    await peer.left()


@pytest.mark.parametrize(("place", "body", "theirs", "ours"), PROVOKED.values(), ids=PROVOKED)
async def test_a_misfortune_is_told_by_both(
    place: Callable[[], contextlib.AbstractAsyncContextManager[int]], body: bytes, theirs: type[Exception], ours: type[UpstreamProblem]
) -> None:
    timeout = httpx2.Timeout(10, **{PHASES[theirs]: 0.05} if theirs in PHASES else {})
    async with place() as port, httpx2.AsyncClient(trust_env=False, verify=False, timeout=timeout) as client:
        with pytest.raises(httpx2.HTTPError) as raised:
            await client.post(f"http://127.0.0.1:{port}", content=body)
    assert type(raised.value) is theirs

    async with place() as port, client_of(f"http://127.0.0.1:{port}") as wire:
        assert type(await wire.problem(body, seconds=0.05 if ours is UpstreamTimeout else 10)) is ours


def test_every_error_of_the_transport_is_accounted_for() -> None:
    named: list[Any] = [getattr(httpx2, name) for name in httpx2.__all__]
    errors = {item for item in named if isinstance(item, type) and issubclass(item, Exception) and not issubclass(item, Warning)}

    assert errors | set(below(httpx2.HTTPError)) == {theirs for _, _, theirs, _ in PROVOKED.values()} | NOT_PROVOKED.keys() | BASES


def below(base: type[Exception]) -> Iterator[type[Exception]]:
    for kind in base.__subclasses__():
        yield kind
        yield from below(kind)
