"""What the HTTP client does when time passes, on an event loop whose clock the test sets forward."""

import asyncio
from collections.abc import Callable

import pytest

from chatbot_service.connection import LINGER_SECONDS
from chatbot_service.errors import UpstreamTimeout
from chatbot_service.wire import KEEP_SECONDS
from tests.service.peers import CHUNKED, END, OK, Peer, chunk, full_backlog, script, serving, until
from tests.service.wires import client_of, talking


class ClockLoop(asyncio.SelectorEventLoop):
    """An event loop whose time the test can let pass."""

    passed_seconds = 0.0

    def time(self) -> float:
        return super().time() + self.passed_seconds


LOOP_FACTORIES = {"asyncio": ClockLoop}


async def pass_time(seconds: float) -> None:
    """Let everybody begin to wait, set the clock forward, and let everything happen that is due then."""
    await settle()
    await pass_time_at_once(seconds)


async def pass_time_at_once(seconds: float) -> None:
    """Set the clock forward as if the event loop had stood still for so long."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ClockLoop)
    loop.passed_seconds += seconds
    await settle()


async def settle() -> None:
    """Let the event loop go round until nothing is left but to wait."""
    for _ in range(20):
        await asyncio.sleep(0)


async def keeping(peer: Peer) -> None:
    """Answers every request."""
    while True:
        await peer.request()
        peer.send(OK)


async def beginning(peer: Peer) -> None:
    """Begins an answer, which the test goes on with."""
    await peer.request()
    peer.send(CHUNKED + chunk(b"a"))
    await peer.left()


async def test_a_kept_connection_is_closed_when_nobody_needs_it() -> None:
    async with talking(keeping) as (client, server):
        await client.ask()
        await pass_time(KEEP_SECONDS - 1)
        assert client.wire.idle_connections == 1

        await pass_time(2)

        assert client.wire.open_connections == 0
        await until(server.peers[0].reader.at_eof)


async def test_a_connection_that_is_used_is_not_closed_for_its_age() -> None:
    async with talking(keeping) as (client, server):
        for _ in range(10):
            await client.ask()
            await pass_time(KEEP_SECONDS - 1)

        assert server.accepted == 1


async def test_a_stream_goes_on_as_long_as_its_pieces_come_in_time() -> None:
    async with talking(beginning) as (client, server):
        trip = await client.send(seconds=10)
        for _ in range(10):
            assert await trip.read(seconds=60) == b"a"
            reading = asyncio.create_task(trip.read(seconds=60))
            await pass_time(59)
            assert not reading.done()
            server.peers[0].send(chunk(b"b"))
            assert await reading == b"b"
            server.peers[0].send(chunk(b"a"))

        await trip.read(seconds=60)
        reading = asyncio.create_task(trip.read(seconds=60))
        await pass_time(59)
        assert not reading.done()
        await pass_time(2)
        with pytest.raises(UpstreamTimeout):
            await reading


async def test_a_piece_that_is_there_when_the_time_is_over_came_in_time() -> None:
    async with talking(beginning) as (client, server):
        trip = await client.send()
        await trip.read(seconds=60)
        reading = asyncio.create_task(trip.read(seconds=60))
        await settle()

        server.peers[0].send(chunk(b"b"))
        await pass_time_at_once(61)

        assert await reading == b"b"
        server.peers[0].send(chunk(b"c"))
        assert await trip.read(seconds=60) == b"c"


async def test_a_slow_reader_is_not_the_servers_fault() -> None:
    async with talking(beginning) as (client, server):
        trip = await client.send(seconds=10)
        await trip.read(seconds=60)
        await pass_time(1000)
        server.peers[0].send(chunk(b"b") + END)

        assert await trip.read(seconds=60) == b"b"
        assert await trip.read(seconds=60) == b""


async def test_a_whole_answer_that_only_trickles_is_given_up_at_the_deadline() -> None:
    async with talking(beginning) as (client, server):
        asking = asyncio.create_task(client.problem(seconds=30))
        await until(lambda: server.requests)
        for _ in range(29):
            server.peers[0].send(chunk(b"a"))
            await pass_time(1)
        assert not asking.done()

        await pass_time(2)

        assert type(await asking) is UpstreamTimeout


async def test_an_address_that_hangs_leaves_the_others_their_share_of_the_time() -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1", "127.0.0.2"]

    with full_backlog() as port:
        async with (
            serving(script(OK), host="127.0.0.2", port=port) as server,
            client_of(f"http://upstream.test:{port}", connect_seconds=60, resolve=resolve) as client,
        ):
            asking = asyncio.create_task(client.ask(seconds=100))
            await pass_time(29)
            assert server.accepted == 0
            await pass_time(2)

            assert await asking == (200, b"ok")


@pytest.mark.parametrize("seconds", [LINGER_SECONDS / 2, LINGER_SECONDS * 2], ids=["in time", "too late"])
async def test_the_end_of_an_answer_may_come_a_little_later(seconds: float) -> None:
    async with talking(beginning) as (client, server):
        trip = await client.send()
        await trip.read(seconds=10)
        trip.linger()

        await pass_time(seconds)
        server.peers[0].send(END)

        await until(idle_or_gone(lambda: client.wire.open_connections, lambda: client.wire.idle_connections))
        assert client.wire.idle_connections == (seconds < LINGER_SECONDS)


async def test_an_answer_whose_end_is_there_needs_no_moment_more() -> None:
    async with talking(keeping) as (client, _):
        trip = await client.send()
        trip.linger()
        trip.close()

        await pass_time(LINGER_SECONDS * 2)

        assert client.wire.idle_connections == 1


def idle_or_gone(opened: Callable[[], int], idle: Callable[[], int]) -> Callable[[], bool]:
    """Return whether no connection is in use."""
    return lambda: opened() == idle()
