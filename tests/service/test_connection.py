"""The HTTP client against servers that break off, stall, flood or talk nonsense, on both event loops."""

import asyncio
import gc
from pathlib import Path

import pytest
import uvloop

from chatbot_service.connection import MAX_HELD_BYTES, READ_BYTES
from chatbot_service.errors import UpstreamFailed, UpstreamGarbage, UpstreamProblem, UpstreamTimeout, UpstreamUnreachable
from chatbot_service.http1 import AnswerParser
from tests.service.peers import CHUNKED, OK, Peer, chunk, full_backlog, script, serving, until, write_certificate
from tests.service.wires import HEAD, Client, client_of, talking

LOOP_FACTORIES = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.mark.parametrize(
    ("answer", "kind", "error_type"),
    [
        (b"", UpstreamUnreachable, "connection_error"),
        (b"HTTP/1.1 200 OK\r\n", UpstreamGarbage, "truncated"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhal", UpstreamGarbage, "truncated"),
        (CHUNKED + chunk(b"half"), UpstreamGarbage, "truncated"),
        (b"SSH-2.0-OpenSSH\r\n", UpstreamGarbage, "invalid_answer"),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", UpstreamGarbage, "invalid_answer"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"a" * 100_000, UpstreamGarbage, "invalid_answer"),
        (CHUNKED + b"nonsense\r\n", UpstreamGarbage, "invalid_answer"),
    ],
    ids=["nothing", "in the head", "in the body", "between chunks", "another protocol", "an upgrade", "an endless head", "no chunk"],
)
async def test_an_answer_that_ends_too_early_or_is_none(answer: bytes, kind: type[UpstreamProblem], error_type: str) -> None:
    async with talking(script(answer)) as (client, _):
        problem = await client.problem()

        assert (type(problem), problem.error_type) == (kind, error_type)
        assert client.wire.open_connections == 0


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", CHUNKED + chunk(b"half")], ids=["at once", "in the head", "in the body"])
async def test_a_reset_is_a_broken_connection(answer: bytes) -> None:
    async def handle(peer: Peer) -> None:
        await peer.request()
        peer.send(answer)
        await peer.writer.drain()
        peer.reset()

    async with talking(handle) as (client, _):
        assert type(await client.problem()) is UpstreamUnreachable


async def test_what_came_before_a_break_can_still_be_read() -> None:
    async with talking(script(CHUNKED + chunk(b"half"))) as (client, _):
        trip = await client.send()
        await until(lambda: client.wire.open_connections == 0)

        assert await trip.read(seconds=10) == b"half"
        with pytest.raises(UpstreamGarbage):
            await trip.read(seconds=10)


async def test_a_whole_answer_has_a_bound() -> None:
    async def handle(peer: Peer) -> None:
        await peer.request()
        peer.send(CHUNKED)
        while True:
            peer.send(chunk(b"a" * 10_000))
            await peer.writer.drain()

    async with talking(handle) as (client, _):
        assert type(await client.problem()) is UpstreamGarbage
        assert client.wire.open_connections == 0


async def test_a_head_that_does_not_come_is_given_up() -> None:
    async with talking(Peer.left) as (client, server):
        assert type(await client.problem(seconds=0.05)) is UpstreamTimeout
        await until(server.peers[0].reader.at_eof)


async def test_a_head_that_does_not_come_on_a_kept_connection_is_given_up_as_soon() -> None:
    async def handle(peer: Peer) -> None:
        await peer.request()
        peer.send(OK)
        await peer.left()

    async with talking(handle) as (client, server):
        await client.ask(seconds=1000)

        assert type(await client.problem(seconds=0.05)) is UpstreamTimeout
        assert server.accepted == 1


async def test_a_server_that_speaks_first_is_no_api() -> None:
    async def handle(peer: Peer) -> None:
        peer.send(b"220 mail.test ESMTP\r\n")
        await peer.left()

    async with talking(handle) as (client, _):
        assert isinstance(await client.problem(), UpstreamFailed)
        assert client.wire.open_connections == 0


async def test_a_body_that_stalls_is_given_up() -> None:
    async def handle(peer: Peer) -> None:
        await peer.request()
        peer.send(CHUNKED + chunk(b"half"))
        await peer.left()

    async with talking(handle) as (client, server):
        trip = await client.send()
        assert await trip.read(seconds=10) == b"half"
        with pytest.raises(UpstreamTimeout):
            await trip.read(seconds=0.05)
        await until(server.peers[0].reader.at_eof)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_an_answer_that_is_read_slowly_is_held_back_at_the_server(tmp_path: Path, *, tls: bool) -> None:
    size = 50_000_000

    async def handle(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        for _ in range(size // 50_000):
            peer.send(b"a" * 50_000)
            await peer.writer.drain()
        await peer.left()

    async with talking(handle, folder=tmp_path if tls else None) as (client, _):
        trip, read, most_held = await client.send(), 0, 0
        while read < size:
            await asyncio.sleep(0)
            most_held = max(most_held, len(trip.answer.body))
            read += len(await trip.read(seconds=10))

        assert await trip.read(seconds=10) == b""
        assert most_held <= MAX_HELD_BYTES + READ_BYTES


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_an_answer_that_is_not_read_at_all_stops_coming(tmp_path: Path, *, tls: bool) -> None:
    async def handle(peer: Peer) -> None:
        await peer.request()
        peer.send(CHUNKED)
        while True:
            peer.send(chunk(b"a" * 50_000))
            await peer.writer.drain()

    async with talking(handle, folder=tmp_path if tls else None) as (client, server):
        trip = await client.send()
        transport = server.peers[0].writer.transport
        await until(lambda: transport.get_write_buffer_size() > 0 and len(trip.answer.body) >= MAX_HELD_BYTES)
        held = len(trip.answer.body)
        await asyncio.sleep(0.05)

        assert len(trip.answer.body) == held <= MAX_HELD_BYTES + READ_BYTES
        trip.close()
        assert client.wire.open_connections == 0


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_large_request_goes_out_as_fast_as_it_is_taken(tmp_path: Path, *, tls: bool) -> None:
    body = bytes(range(256)) * 40_000

    async def handle(peer: Peer) -> None:
        await asyncio.sleep(0.05)
        await peer.request()
        peer.send(OK)
        await peer.request()
        peer.send(OK)

    async with talking(handle, folder=tmp_path if tls else None) as (client, server):
        assert [await client.ask(body), await client.ask()] == [(200, b"ok")] * 2
        assert server.requests[0] == HEAD % len(body) + body
        assert server.accepted == 1


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_an_answer_before_the_end_of_the_request_stands(tmp_path: Path, *, tls: bool) -> None:
    async def handle(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.send(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n")
        await peer.left()

    async with talking(handle, folder=tmp_path if tls else None) as (client, _):
        assert await client.ask(b"a" * 20_000_000) == (413, b"")
        assert client.wire.open_connections == 0


def alive() -> int:
    """Return how many answers there are, whole or not."""
    return sum(type(item) is AnswerParser for item in gc.get_objects())


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "broken off"])
async def test_what_is_over_is_freed_without_the_cycle_collector(*, whole: bool) -> None:
    async with talking(script(*[OK if whole else CHUNKED] * 20)) as (client, _):
        gc.collect()
        before = alive()
        gc.disable()
        try:
            for _ in range(20):
                await client.ask() if whole else (await client.send()).close()
            assert alive() - before <= 1  # the last one
        finally:
            gc.enable()


@pytest.mark.parametrize("phase", ["connecting", "handshake", "head", "body", "upload"])
async def test_a_task_that_is_cancelled_leaves_no_connection(phase: str, tmp_path: Path) -> None:
    ca_file, _ = write_certificate(tmp_path)
    reached = asyncio.Event()

    async def handle(peer: Peer) -> None:
        if phase == "body":
            await peer.request()
            peer.send(CHUNKED)
        elif phase == "head":
            await peer.request()
        else:
            await peer.reader.read(1)
        reached.set()
        await peer.left()

    async def work(client: Client) -> None:
        trip = await client.send(b"a" * (20_000_000 if phase == "upload" else 1))
        await trip.read(seconds=60)

    scheme = "https" if phase == "handshake" else "http"
    with full_backlog() as hanging:
        async with serving(handle) as server:
            port = hanging if phase == "connecting" else server.port
            async with client_of(f"{scheme}://localhost:{port}", ca_file=ca_file, connect_seconds=60) as client:
                task = asyncio.create_task(work(client))
                await (asyncio.sleep(0.02) if phase == "connecting" else reached.wait())

                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

                assert client.wire.open_connections == 0
                await until(lambda: all(peer.reader.at_eof() or peer.reader.exception() for peer in server.peers))


async def test_a_task_that_is_cancelled_at_any_moment_of_connecting_leaves_no_connection() -> None:
    async with talking(Peer.left) as (client, server):
        for turns in range(30):
            task = asyncio.create_task(client.send())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        assert client.wire.open_connections == 0
        await until(lambda: all(peer.reader.at_eof() for peer in server.peers))


async def test_an_end_that_is_due_at_once_can_be_moved() -> None:
    async with talking(script(CHUNKED)) as (client, _):
        trip = await client.send()
        reading = asyncio.create_task(trip.read(seconds=0))
        await asyncio.sleep(0)

        trip.linger()

        with pytest.raises(UpstreamProblem):
            await reading


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_breaking_off_is_seen_by_the_server(tmp_path: Path, *, tls: bool) -> None:
    async def handle(peer: Peer) -> None:
        await peer.request()
        peer.send(CHUNKED + chunk(b"half"))
        await peer.left()

    async with talking(handle, folder=tmp_path if tls else None) as (client, server):
        trip = await client.send()

        trip.close()
        trip.close()

        assert client.wire.open_connections == 0
        await until(server.peers[0].reader.at_eof)


async def test_breaking_off_what_is_over_leaves_the_connection_to_others() -> None:
    async with talking(script(OK, OK)) as (client, server):
        trip = await client.send()
        trip.close()
        trip.linger()

        assert await client.ask() == (200, b"ok")
        assert server.accepted == 1
