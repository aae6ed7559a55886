"""The HTTP client's connections: made, kept, used again and given up, on both event loops."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from chatbot_service.connection import RoundTrip
from chatbot_service.errors import UpstreamGarbage, UpstreamProblem, UpstreamTimeout, UpstreamUnreachable
from chatbot_service.resilience.budget import CAPACITY, RetryBudget
from tests.service.peers import CHUNKED, OK, Peer, chunk, full_backlog, nobody, script, serving, until, write_certificate
from tests.service.wires import HEAD, client_of, talking

LOOP_FACTORIES = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


async def test_requests_in_turn_share_one_connection() -> None:
    async with talking(script(*[OK] * 20)) as (client, server):
        assert [await client.ask(b"%d" % number) for number in range(20)] == [(200, b"ok")] * 20

        assert (server.accepted, len(server.requests)) == (1, 20)
        assert (client.wire.open_connections, client.wire.idle_connections) == (1, 1)
        assert server.requests[7] == HEAD % 1 + b"7"


async def test_requests_at_once_have_a_connection_each_and_the_last_one_freed_is_used_next() -> None:
    async def handle(peer: Peer) -> None:
        while True:
            number = int((await peer.request())[-1:])
            await until(lambda: len(peer.server.requests) >= 3)
            await asyncio.sleep(number / 100)
            peer.send(OK)

    async with talking(handle) as (client, server):
        await asyncio.gather(*[client.ask(b"%d" % number) for number in (0, 1, 2)])
        assert (server.accepted, client.wire.idle_connections) == (3, 3)

        await client.ask(b"0")

    assert server.accepted == 3


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno",
    ],
    ids=["by its own word", "HTTP/1.0", "unasked answers"],
)
async def test_a_connection_that_cannot_be_used_again_is_closed(answer: bytes) -> None:
    async def handle(peer: Peer) -> None:
        await peer.request()
        peer.send(answer)
        await peer.left()

    async with talking(handle) as (client, server):
        assert [await client.ask(), await client.ask()] == [(200, b"ok")] * 2
        assert (server.accepted, client.wire.open_connections) == (2, 0)


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    async with talking(script(b"HTTP/1.1 200 OK\r\n\r\nok")) as (client, _):
        assert await client.ask() == (200, b"ok")


@pytest.mark.parametrize("farewell", [b"", b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"], ids=["silently", "with words"])
async def test_a_kept_connection_that_the_server_closes_is_forgotten(farewell: bytes) -> None:
    async def handle(peer: Peer) -> None:
        await peer.request()
        peer.send(OK)
        await peer.writer.drain()
        peer.send(farewell)

    async with talking(handle) as (client, server):
        await client.ask()
        await until(lambda: client.wire.open_connections == 0)

        assert client.wire.idle_connections == 0
        assert await client.ask() == (200, b"ok")
        assert len(server.requests) == 2


async def stale_by_end(peer: Peer) -> None:
    """Answers the first request and swallows the second."""
    await peer.request()
    peer.send(OK)
    await peer.request()


async def stale_by_reset(peer: Peer) -> None:
    await stale_by_end(peer)
    peer.reset()


@pytest.mark.parametrize("handle", [stale_by_end, stale_by_reset])
async def test_a_request_lost_on_a_kept_connection_is_sent_once_more_on_a_new_one(handle: Callable[[Peer], Awaitable[None]]) -> None:
    async with talking(handle) as (client, server):
        assert [await client.ask(b"1"), await client.ask(b"2")] == [(200, b"ok")] * 2

        assert (server.accepted, [request[-1:] for request in server.requests]) == (2, [b"1", b"2", b"2"])


async def test_a_kept_connection_that_proved_dead_takes_the_others_with_it() -> None:
    async def handle(peer: Peer) -> None:
        await peer.request()
        await until(lambda: len(peer.server.requests) >= 3)
        peer.send(OK)
        await peer.request()
        if peer.server.accepted > 3:
            peer.send(OK)
            await peer.left()

    async with talking(handle) as (client, server):
        await asyncio.gather(*[client.ask() for _ in range(3)])
        assert client.wire.idle_connections == 3

        assert await client.ask() == (200, b"ok")

        assert (server.accepted, len(server.requests), client.wire.open_connections) == (4, 5, 1)


async def test_a_dead_connection_takes_the_others_with_it_when_nothing_may_be_sent_again_too() -> None:
    async def handle(peer: Peer) -> None:
        await peer.request()
        await until(lambda: len(peer.server.requests) >= 2)
        peer.send(OK)
        await peer.request()

    async with talking(handle, may_resend=lambda: False) as (client, server):
        await asyncio.gather(client.ask(), client.ask())
        assert client.wire.idle_connections == 2

        assert type(await client.problem()) is UpstreamUnreachable

        assert (server.accepted, len(server.requests), client.wire.open_connections) == (2, 3, 0)


async def test_sending_again_takes_a_retry_from_the_budget_and_is_not_done_without_one() -> None:
    budget = RetryBudget(percent=0)
    async with talking(stale_by_end, may_resend=budget.take) as (client, server):
        assert [await client.ask() for _ in range(1 + CAPACITY)] == [(200, b"ok")] * (1 + CAPACITY)
        assert (server.accepted, len(server.requests)) == (1 + CAPACITY, 1 + 2 * CAPACITY)

        assert type(await client.problem()) is UpstreamUnreachable

        assert (server.accepted, len(server.requests)) == (1 + CAPACITY, 2 + 2 * CAPACITY)
        assert await client.ask() == (200, b"ok")


async def test_a_request_is_not_sent_a_third_time() -> None:
    async def handle(peer: Peer) -> None:
        await peer.request()
        if peer.server.accepted == 1:
            peer.send(OK)
            await peer.request()

    async with talking(handle) as (client, server):
        await client.ask()

        assert type(await client.problem()) is UpstreamUnreachable
        assert (server.accepted, len(server.requests)) == (2, 3)


async def test_a_request_whose_answer_has_begun_is_not_sent_again() -> None:
    async with talking(script(OK, b"HTTP/1.1 200")) as (client, server):
        await client.ask()

        assert (await client.problem()).error_type == "truncated"
        assert (server.accepted, len(server.requests)) == (1, 2)


async def test_a_request_on_a_new_connection_is_not_sent_again() -> None:
    async with talking(script(b"")) as (client, server):
        assert type(await client.problem()) is UpstreamUnreachable
        assert server.accepted == 1


async def test_closing_ends_everything_at_once() -> None:
    async def handle(peer: Peer) -> None:
        await peer.request()
        if len(peer.server.requests) == 1:
            peer.send(OK)
        await peer.left()

    async with talking(handle) as (client, server):
        first = asyncio.create_task(client.ask())
        await first
        second, third = asyncio.create_task(client.problem()), asyncio.create_task(client.problem())
        await until(lambda: len(server.requests) == 2)

        client.wire.close()

        assert type(await second) is type(await third) is UpstreamUnreachable
        assert type(await client.problem()) is UpstreamUnreachable
        assert client.wire.open_connections == 0


async def test_nobody_there_is_unreachable() -> None:
    with nobody() as port:
        async with client_of(f"http://127.0.0.1:{port}") as client:
            problem = await client.problem()

    assert (type(problem), problem.error_type) == (UpstreamUnreachable, "connection_error")
    assert isinstance(problem.__cause__, ConnectionRefusedError)


async def test_a_connection_that_does_not_come_about_is_given_up() -> None:
    with full_backlog() as port:
        async with client_of(f"http://127.0.0.1:{port}", connect_seconds=0.05) as client:
            assert type(await client.problem()) is UpstreamTimeout


async def test_the_deadline_holds_for_connecting_too() -> None:
    with full_backlog() as port:
        async with client_of(f"http://127.0.0.1:{port}", connect_seconds=60) as client:
            assert type(await client.problem(seconds=0.05)) is UpstreamTimeout


@pytest.mark.parametrize("host", ["x" * 64 + ".test", "a..test"])
async def test_a_name_that_is_none_is_unreachable(host: str) -> None:
    async with client_of(f"http://{host}") as client:
        assert type(await client.problem()) is UpstreamUnreachable


async def test_a_name_that_is_not_resolved_in_time_is_given_up() -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async with client_of("http://upstream.test", connect_seconds=0.05, resolve=resolve) as client:
        assert type(await client.problem()) is UpstreamTimeout


async def test_every_address_is_tried_and_one_that_failed_only_at_the_end() -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async with talking(script(OK)) as (_, second), client_of(f"http://upstream.test:{second.port}", resolve=resolve) as client:
        assert await client.ask() == (200, b"ok")

        async with serving(script(OK), host="127.0.0.2", port=second.port) as first:
            assert await client.ask() == (200, b"ok")

        assert (first.accepted, second.accepted) == (0, 2)


async def test_a_certificate_of_a_trusted_authority_is_accepted(tmp_path: Path) -> None:
    ca_file, context = write_certificate(tmp_path)
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with serving(script(OK, OK), tls=context) as server, client_of(server.url, ca_file=ca_file) as client:
        assert [await client.ask(), await client.ask(b"x" * 1_000_000)] == [(200, b"ok")] * 2

        assert server.accepted == 1
        assert server.peers[0].writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


async def test_a_certificate_of_nobody_is_refused(tmp_path: Path) -> None:
    _, context = write_certificate(tmp_path)
    async with serving(script(OK), tls=context) as server, client_of(server.url) as client:
        problem = await client.problem()

    assert (type(problem), problem.error_type, server.requests) == (UpstreamUnreachable, "tls_error", [])
    assert isinstance(problem.__cause__, ssl.SSLCertVerificationError)


async def test_a_server_that_cannot_be_trusted_is_not_asked_for_at_another_address(tmp_path: Path) -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1", "127.0.0.2"]

    _, context = write_certificate(tmp_path)
    async with (
        serving(script(OK), tls=context) as first,
        serving(script(OK), host="127.0.0.2", port=first.port) as second,
        client_of(first.url, resolve=resolve) as client,
    ):
        assert (await client.problem()).error_type == "tls_error"

    assert second.accepted == 0


async def test_a_connection_that_is_gone_takes_no_request() -> None:
    async with talking(script(OK)) as (client, server):
        gone = await client.wire._connect(asyncio.get_running_loop().time() + 5)
        gone.abort(UpstreamUnreachable("gone"))
        await until(lambda: server.accepted and server.peers[0].reader.at_eof())

        with pytest.raises(UpstreamUnreachable):
            await RoundTrip(gone).begin(b"", b"", deadline=asyncio.get_running_loop().time() + 5)


async def test_a_certificate_of_another_host_is_refused(tmp_path: Path) -> None:
    ca_file, context = write_certificate(tmp_path, name="elsewhere.test")
    async with serving(script(OK), tls=context) as server, client_of(server.url, ca_file=ca_file) as client:
        problem = await client.problem()

    assert (type(problem), problem.error_type, server.requests) == (UpstreamUnreachable, "tls_error", [])


async def test_a_handshake_that_hangs_is_given_up() -> None:
    async with serving(Peer.left) as server, client_of(f"https://localhost:{server.port}", connect_seconds=0.05) as client:
        assert type(await client.problem()) is UpstreamTimeout


async def test_a_server_that_speaks_no_tls_is_told_as_such() -> None:
    async def handle(peer: Peer) -> None:
        await peer.reader.read(1)
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(handle) as server, client_of(f"https://localhost:{server.port}") as client:
        problem = await client.problem()

    assert (type(problem), problem.error_type) == (UpstreamUnreachable, "tls_error")


async def test_a_handshake_that_is_broken_off_is_unreachable() -> None:
    async def handle(peer: Peer) -> None:
        await peer.reader.read(1)
        peer.reset()

    async with serving(handle) as server, client_of(f"https://localhost:{server.port}") as client:
        assert type(await client.problem()) is UpstreamUnreachable


async def test_a_body_cut_without_a_farewell_is_a_truncation_under_tls_too(tmp_path: Path) -> None:
    ca_file, context = write_certificate(tmp_path)

    async def handle(peer: Peer) -> None:
        await peer.request()
        peer.send(CHUNKED + chunk(b"half"))
        await peer.writer.drain()
        await peer.request()

    async with serving(handle, tls=context) as server, client_of(server.url, ca_file=ca_file) as client:
        trip = await client.send()
        assert await trip.read(seconds=10) == b"half"
        server.peers[0].writer.transport.abort()
        with pytest.raises(UpstreamProblem) as raised:
            await trip.read(seconds=10)

    assert type(raised.value) in (UpstreamGarbage, UpstreamUnreachable)
