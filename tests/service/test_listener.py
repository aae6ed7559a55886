"""A port: how it is had, and how it is given up without turning away anybody who has come."""

import asyncio
import contextlib
import re
import socket

import pytest

from chatbot_service.errors import StartupFailed
from chatbot_service.listener import bind
from tests.service.listening import GET, HOST, LAST, Server, parse, read_all, read_one, serve
from tests.waiting import wait_until

pytestmark = pytest.mark.programs

HELD = b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n"


def test_a_taken_port_is_named() -> None:
    with bind("127.0.0.1", 0, variable="PORT") as taken:
        port = taken.getsockname()[1]

        with pytest.raises(StartupFailed, match=rf"^cannot listen on 127\.0\.0\.1 port {port} \(ADMIN_PORT\): Address already in use$"):
            bind("127.0.0.1", port, variable="ADMIN_PORT")


@pytest.mark.parametrize(("host", "reason"), [("192.0.2.1", "Cannot assign requested address"), ("no..host", "Name or service not known")])
def test_an_address_that_is_not_ours_is_refused(host: str, reason: str) -> None:
    with pytest.raises(StartupFailed, match=rf"^cannot listen on {re.escape(host)} port 0 \(ADMIN_PORT\): {reason}$"):
        bind(host, 0, variable="ADMIN_PORT")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_the_service_port_listens_on_both_families() -> None:
    with bind("", 0, variable="PORT") as listening:
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, listening.getsockname()[1]), timeout=5).close()


def close(server: Server) -> None:
    """Close the listener as at the end of a drain's delay."""
    server.call(server.listener.end_after_answers)
    asyncio.run_coroutine_threadsafe(server.listener.close(), server.loop).result(20)


def test_open_connections_are_counted() -> None:
    with serve() as server:
        with server.connect(), server.connect():
            wait_until(lambda: server.listener.open_connections == 2)

        wait_until(lambda: server.listener.open_connections == 0)


def test_an_ending_port_is_still_open_and_says_that_every_answer_is_the_last() -> None:
    with serve() as server, server.connect() as kept, server.connect() as held:
        kept.sendall(GET + HOST + b"\r\n")
        before = read_one(kept)
        held.sendall(HELD)
        wait_until(lambda: "/held" in server.app.seen)

        server.call(server.listener.end_after_answers)
        kept.sendall(GET + HOST + b"\r\n")
        server.call(server.app.release.set)

        answers = [*parse(read_all(kept)), *parse(read_all(held)), *server.ask(GET + HOST + b"\r\n")]
        assert "connection" not in before.headers
        assert [(answer.status, answer.headers["connection"]) for answer in answers] == [(200, "close")] * 3


def test_a_closing_port_serves_the_connections_that_wait_to_be_accepted() -> None:
    with serve() as server:
        waiting: list[socket.socket] = []

        async def connect_and_close() -> None:
            """Do both before the event loop looks at its sockets again."""
            server.listener.end_after_answers()
            waiting.extend(server.connect() for _ in range(20))
            await server.listener.close()

        asyncio.run_coroutine_threadsafe(connect_and_close(), server.loop).result(20)
        for connection in waiting:
            connection.sendall(GET + HOST + b"\r\n")

        assert [reply.status for connection in waiting for reply in parse(read_all(connection))] == [200] * 20
        for connection in waiting:
            connection.close()
        with pytest.raises(ConnectionRefusedError):
            server.connect()


def test_a_closing_port_closes_idle_connections_and_finishes_the_others() -> None:
    with serve() as server, server.connect() as idle, server.connect() as held:
        idle.sendall(GET + HOST + b"\r\n")
        read_one(idle)
        held.sendall(HELD)
        wait_until(lambda: "/held" in server.app.seen)

        close(server)

        assert read_all(idle) == b""
        server.call(server.app.release.set)
        assert [reply.body for reply in parse(read_all(held))] == [b"held"]
        asyncio.run_coroutine_threadsafe(server.listener.emptied(), server.loop).result(20)


@pytest.mark.parametrize(("following", "answers"), [(b"", 1), (GET + HOST + b"\r\n", 2)], ids=["nothing", "a request"])
def test_an_answer_that_had_begun_is_finished_and_its_connection_closed_a_moment_later(following: bytes, answers: int) -> None:
    with serve() as server, server.connect() as connection:
        connection.sendall(b"GET /begun HTTP/1.1\r\n" + HOST + b"\r\n")
        assert connection.recv(1) == b"H"

        close(server)
        server.call(server.app.release.set)
        begun = read_one(connection, b"H")
        connection.sendall(following)

        assert [begun.status, *[reply.status for reply in parse(read_all(connection))]] == [200] * answers


def test_a_request_on_its_way_when_the_port_closes_is_served() -> None:
    with serve() as server, server.connect() as silent, server.connect() as slow:
        slow.sendall(GET)
        wait_until(lambda: server.listener.open_connections == 2)
        wait_until(lambda: any(connection._in_head for connection in server.listener._connections()))

        close(server)
        silent.sendall(GET + HOST + LAST)
        slow.sendall(HOST + LAST)

        assert [reply.status for connection in (silent, slow) for reply in parse(read_all(connection))] == [200, 200]


def test_a_request_that_begins_after_the_port_closed_has_its_time() -> None:
    with serve() as server, server.connect() as silent, server.connect() as late:
        wait_until(lambda: server.listener.open_connections == 2)

        close(server)
        late.sendall(GET)
        assert read_all(silent) == b""
        late.sendall(HOST + LAST)

        assert [reply.status for reply in parse(read_all(late))] == [200]


def test_a_request_that_has_come_but_has_not_been_read_is_served() -> None:
    with serve() as server, server.connect() as kept:
        kept.sendall(GET + HOST + b"\r\n")
        read_one(kept)

        async def ask_and_close() -> None:
            """Do both before the event loop looks at its sockets again."""
            server.listener.end_after_answers()
            kept.sendall(GET + HOST + b"\r\n")
            await server.listener.close()

        asyncio.run_coroutine_threadsafe(ask_and_close(), server.loop).result(20)

        assert [reply.status for reply in parse(read_all(kept))] == [200]


def test_a_client_that_asks_nothing_does_not_hold_up_the_end() -> None:
    with serve() as server, server.connect() as silent:
        wait_until(lambda: server.listener.open_connections == 1)

        close(server)

        asyncio.run_coroutine_threadsafe(server.listener.emptied(), server.loop).result(20)
        assert read_all(silent) == b""


def test_what_is_left_in_the_end_is_cut() -> None:
    with contextlib.ExitStack() as clients:
        with serve() as server:
            held = clients.enter_context(server.connect())
            held.sendall(HELD)
            wait_until(lambda: "/held" in server.app.seen)

        assert held.recv(1) == b""
