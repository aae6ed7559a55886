"""Raw sockets against the protocol: what it refuses, what it lets pass, and for whom it does not wait."""

import contextlib
import gc
import logging
import re
import socket
import weakref
from collections.abc import Iterator

import pytest
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from chatbot_service.protocol import MAX_AHEAD_BYTES, MAX_PIPELINED, MAX_UNREAD_BYTES, READ_AHEAD, WRITE_BUFFER_BYTES
from chatbot_service.reader import LOOKS
from tests.service.listening import GET, HOST, LAST, Server, parse, parse_head, read_all, read_one, serve
from tests.waiting import wait_until

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
POST = b"POST / HTTP/1.1\r\nhost: a\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as server:
        yield server


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that a client does may reach the libraries' loggers."""
    yield
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def head(*, fields: int = 1, size: int = 0) -> bytes:
    """Return a head with as many fields, the last of which fills it to `size` bytes: target, names, values, and 4 for each field."""
    lines = [HOST, b"connection: close\r\n", *[b"x: y\r\n"] * (fields - 3)]
    counted = 1 + sum(len(line) for line in lines)
    padding = b"p" * max(1, size - counted - len("x") - 4)
    return GET + b"".join(lines) + b"x: " + padding + b"\r\n\r\n"


SOUND = {
    "plain": GET + HOST + LAST,
    "HTTP/1.0 without Host": b"GET / HTTP/1.0\r\n\r\n",
    "host and port": GET + b"Host: chat.example-1.com:8080\r\n" + LAST,
    "IPv6 host": GET + b"Host: [2001:db8::7]:80\r\n" + LAST,
    "host with an underscore": GET + b"host: my_service.default.svc\r\n" + LAST,
    "absolute target": b"GET http://a/x HTTP/1.1\r\n" + HOST + LAST,
    "asterisk": b"OPTIONS * HTTP/1.1\r\n" + HOST + LAST,
    "empty lines before": b"\r\n\r\n" + GET + HOST + LAST,
    "100 fields": head(fields=100),
    "16 KiB": head(fields=3, size=16 * 1024),
    "bytes beyond ASCII in a value": GET + HOST + b"x: \xe4\r\n" + LAST,
    "length": POST + b"content-length: 2\r\n" + LAST + b"ab",
    "chunked": POST + b"Transfer-Encoding: CHUNKED\r\n" + LAST + b"1;x=y\r\na\r\n1\r\nb\r\n0\r\nhost: trailer\r\n\r\n",
    "WebSocket": GET + HOST + b"upgrade: websocket\r\nconnection: upgrade, close\r\nsec-websocket-key: x\r\n\r\n",
    "h2c with a body": POST + b"connection: upgrade, http2-settings, close\r\nupgrade: h2c\r\ncontent-length: 2\r\n\r\nab",
}

UNSOUND = {
    # What llhttp refuses
    "bare LF throughout": (400, b"GET / HTTP/1.1\nhost: a\n\n"),
    "bare LF after the request line": (400, b"GET / HTTP/1.1\nhost: a\r\n\r\n"),
    "bare LF after a field": (400, GET + b"host: a\nx: y\r\n\r\n"),
    "bare LF at the end": (400, GET + b"host: a\r\n\n"),
    "bare CR after a field": (400, GET + b"host: a\rx: y\r\n\r\n"),
    "bare CR in a value": (400, GET + HOST + b"x: a\rb\r\n\r\n"),
    "folded field": (400, GET + HOST + b"x: y\r\n z\r\n\r\n"),
    "folded with a tab": (400, GET + HOST + b"x:\r\n\tz\r\n\r\n"),
    "space before the first field": (400, GET + b" host: a\r\n\r\n"),
    "NUL in a value": (400, GET + HOST + b"x: a\0b\r\n\r\n"),
    "NUL in a name": (400, GET + HOST + b"x\0: a\r\n\r\n"),
    "NUL in the target": (400, b"GET /\0 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "control character": (400, GET + HOST + b"x: \x01\r\n\r\n"),
    "space before the colon": (400, GET + b"host : a\r\n\r\n"),
    "no name": (400, GET + HOST + b": x\r\n\r\n"),
    "no colon": (400, GET + HOST + b"x\r\n\r\n"),
    "unknown method": (400, b"GRAB / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "HTTP/2 preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "two lengths": (400, POST + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab"),
    "the same length twice": (400, POST + b"content-length: 2\r\ncontent-length: 2\r\n\r\nab"),
    "list of lengths": (400, POST + b"content-length: 2, 2\r\n\r\nab"),
    "signed length": (400, POST + b"content-length: +2\r\n\r\nab"),
    "length and coding": (400, POST + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    "coding and length": (400, POST + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n"),
    "coding after chunked": (400, POST + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    "chunked twice": (400, POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    # What we refuse
    "no Host": (400, GET + b"\r\n"),
    "two Hosts": (400, GET + b"host: a\r\nHost: a\r\n\r\n"),
    "two Hosts in HTTP/1.0": (400, b"GET / HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n"),
    "empty Host": (400, GET + b"host:\r\n\r\n"),
    "list of Hosts": (400, GET + b"host: a, b\r\n\r\n"),
    "Host with a path": (400, GET + b"host: a/b\r\n\r\n"),
    "Host with a user": (400, GET + b"host: u@a\r\n\r\n"),
    "Host with a bad port": (400, GET + b"host: a:b\r\n\r\n"),
    "unknown coding": (400, POST + b"transfer-encoding: gzip\r\n\r\n"),
    "coding before chunked": (400, POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "codings in two fields": (400, POST + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    "identity": (400, POST + b"transfer-encoding: identity\r\n\r\n"),
    "nearly chunked": (400, POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "chunked in HTTP/1.0": (400, b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    "HTTP/2": (400, b"GET / HTTP/2.0\r\n" + HOST + b"\r\n"),
    "HTTP/0.9": (400, b"GET / HTTP/0.9\r\n\r\n"),
    "CONNECT": (405, b"CONNECT a:443 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "target without a slash": (400, b"GET x HTTP/1.1\r\n" + HOST + b"\r\n"),
    "absolute target without a path": (400, b"GET http://a HTTP/1.1\r\n" + HOST + b"\r\n"),
    "101 fields": (431, head(fields=101)),
    "more than 16 KiB": (431, head(fields=3, size=16 * 1024 + 1)),
    "a megabyte": (431, head(fields=3, size=1024 * 1024)),
    "a megabyte of fields": (431, GET + b"x: y\r\n" * 170_000),
    "an endless target": (431, b"GET /" + b"a" * 100_000),
    "an endless name": (431, GET + b"a" * 100_000),
    "an endless value": (431, GET + b"host: " + b"a" * 100_000),
    "endless empty lines": (431, b"\r\n" * 100_000),
    # In a body
    "chunk without a size": (400, POST + b"transfer-encoding: chunked\r\n\r\nx\r\n"),
    "chunk with a bare LF": (400, POST + b"transfer-encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n"),
    "chunk longer than said": (400, POST + b"transfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n"),
    "endless chunk extension": (431, POST + b"transfer-encoding: chunked\r\n\r\n1;" + b"a" * 700_000),
    "endless trailer": (431, POST + b"transfer-encoding: chunked\r\n\r\n0\r\nx: " + b"a" * 700_000),
}


@pytest.mark.parametrize("data", SOUND.values(), ids=SOUND)
def test_a_sound_request_is_served(server: Server, data: bytes) -> None:
    (reply,) = server.ask(data)

    assert reply.status == 200
    assert reply.json["body"] == ("ab" if data.startswith(b"POST") else "")


@pytest.mark.parametrize(("status", "data"), UNSOUND.values(), ids=UNSOUND)
def test_any_other_is_refused(server: Server, status: int, data: bytes) -> None:
    (reply,) = server.ask(data)

    assert reply.status == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["connection"] == "close"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.json.keys() == {"type", "title", "status", "detail", "code", "correlation_id"}
    assert reply.json["status"] == status
    assert reply.json["correlation_id"] == reply.headers["x-correlation-id"]
    assert UUID4.fullmatch(reply.headers["x-correlation-id"])


SHORT = {name: (200, data) for name, data in SOUND.items()} | UNSOUND


@pytest.mark.parametrize(("status", "data"), [case for case in SHORT.values() if len(case[1]) < 200], ids=str)
def test_it_makes_no_difference_in_how_many_pieces_it_comes(server: Server, status: int, data: bytes) -> None:
    with server.connect() as connection:
        for byte in data:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.send(bytes([byte]))

        (reply,) = parse(read_all(connection))

    assert reply.status == status


def test_an_upgrade_is_ignored_and_its_body_is_a_body(server: Server) -> None:
    upgrade = b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 24\r\n\r\nGET /smuggled HTTP/1.1\r\n"

    replies = server.ask(POST + upgrade + GET + HOST + LAST)

    assert [reply.json["method"] for reply in replies] == ["POST", "GET"]
    assert replies[0].json["body"] == "GET /smuggled HTTP/1.1\r\n"
    assert "upgrade" not in replies[0].json["fields"]


def test_trailers_are_no_fields_of_the_request(server: Server) -> None:
    chunked = b"transfer-encoding: chunked\r\n" + LAST + b"0\r\nx-correlation-id: trailer\r\n\r\n"

    (reply,) = server.ask(POST + chunked)

    assert reply.json["fields"] == ["host", "transfer-encoding", "connection"]


def test_requests_sent_at_once_are_answered_in_order(server: Server) -> None:
    pieces = [POST + b"content-length: 2\r\n\r\n%02d" % number for number in range(MAX_PIPELINED)]

    replies = server.ask(b"".join(pieces) + GET + HOST + LAST)

    assert [reply.json["body"] for reply in replies] == [f"{number:02}" for number in range(MAX_PIPELINED)] + [""]


def test_garbage_behind_an_upgrade_is_refused_as_garbage(server: Server) -> None:
    replies = server.ask(GET + HOST + b"connection: upgrade\r\nupgrade: h2c\r\n\r\n\x00\x00")

    assert [reply.status for reply in replies] == [200, 400]


def test_a_head_that_comes_with_the_request_before_it_has_the_same_limits(server: Server) -> None:
    replies = server.ask(GET + HOST + b"\r\n" + head(fields=3, size=16 * 1024 + 1))

    assert [reply.status for reply in replies] == [200, 431]


def test_what_cannot_be_read_after_a_request_is_refused_after_its_answer(server: Server) -> None:
    replies = server.ask(GET + HOST + b"\r\n" + b"garbage\r\n\r\n" + GET + HOST + b"\r\n")

    assert [reply.status for reply in replies] == [200, 400]


def test_a_broken_body_of_a_waiting_request_is_refused_after_the_answers_before_it(server: Server) -> None:
    replies = server.ask((GET + HOST + b"\r\n") * 2 + POST + b"transfer-encoding: chunked\r\n\r\nx\r\n")

    assert [reply.status for reply in replies] == [200, 200, 400]


def test_too_many_requests_at_once_are_refused_after_the_answers_to_the_others(server: Server) -> None:
    replies = server.ask((GET + HOST + b"\r\n") * (MAX_PIPELINED + 50))

    assert [reply.status for reply in replies] == [200] * (MAX_PIPELINED + 1) + [429]
    assert replies[-1].headers["retry-after"] == "1"


def test_what_comes_after_a_last_request_is_thrown_away(server: Server) -> None:
    asked = len(server.app.seen)

    replies = server.ask(GET + HOST + LAST + GET + HOST + b"\r\n")

    assert len(replies) == 1
    assert len(server.app.seen) == asked + 1


def test_a_client_that_leaves_is_noticed_by_the_request_being_served_whatever_waits_behind_it() -> None:
    with serve() as server:
        with server.connect() as connection:
            for waiting in range(READ_AHEAD + 1):
                connection.sendall(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
                wait_until(lambda: len(server.only_connection().pipeline) == waiting)  # noqa: B023  called at once

        assert server.app.left.wait(20)
        assert server.app.seen == ["/held"]


def test_a_client_that_leaves_is_noticed_however_large_a_body_came_at_once() -> None:
    with serve() as server:
        with server.connect() as connection:
            connection.sendall(b"POST /begun HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % (2 * HIGH_WATER_LIMIT))
            wait_until(lambda: server.app.seen == ["/begun"])
            server.call(server.only_connection().data_received, b"x" * 2 * HIGH_WATER_LIMIT)

        wait_until(lambda: server.listener.open_connections == 0)
        server.call(server.app.release.set)


def test_a_client_that_sends_far_ahead_is_not_read() -> None:
    with serve() as server, server.connect() as connection:
        connection.sendall(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
        wait_until(lambda: server.app.seen == ["/held"])
        connection.sendall((GET + HOST + b"\r\n") * (READ_AHEAD + 1))

        wait_until(lambda: server.only_connection().flow.read_paused)
        assert len(server.only_connection().pipeline) == READ_AHEAD + 1


def test_a_client_that_sends_large_bodies_ahead_is_not_read() -> None:
    body = b"x" * (MAX_AHEAD_BYTES * 2 // 3)
    with serve() as server, server.connect() as connection:
        connection.sendall(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
        wait_until(lambda: server.app.seen == ["/held"])
        for _ in range(2):
            connection.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

        wait_until(lambda: sum(len(waiting.body) for waiting, _ in server.only_connection().pipeline) == 2 * len(body))
        wait_until(lambda: server.only_connection().flow.read_paused)


@pytest.mark.parametrize("size", [1, MAX_UNREAD_BYTES // 2])
def test_a_small_body_that_nobody_read_does_not_cost_the_connection(server: Server, size: int) -> None:
    with server.connect() as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size)
        early = read_one(connection)
        connection.sendall(b"x" * size + GET + HOST + LAST)

        (later,) = parse(read_all(connection))

    assert (early.status, later.status) == (413, 200)


def test_what_may_go_unread_is_counted_for_each_request(server: Server) -> None:
    size = MAX_UNREAD_BYTES * 2 // 3
    with server.connect() as connection:
        for _ in range(3):
            connection.sendall(b"POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size)
            assert read_one(connection).status == 413
            connection.sendall(b"x" * size)


@pytest.mark.parametrize("framing", [b"content-length: 20000000", b"transfer-encoding: chunked"])
def test_an_early_answer_reaches_a_client_that_goes_on_sending(framing: bytes) -> None:
    with serve(farewell=0.2) as server, server.connect(receive_buffer=4096) as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\nhost: a\r\n%b\r\n\r\n" % framing)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            connection.sendall((b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n") * 300)

        assert parse_head(connection.recv(65536))[0] == 413


def test_a_client_that_stops_within_an_unread_body_is_not_waited_for() -> None:
    with serve(farewell=0.2) as server, server.connect() as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n")

        assert [reply.status for reply in parse(read_all(connection))] == [413]


def test_a_body_that_waits_for_a_100_which_never_comes_costs_the_connection(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n")

        (reply,) = parse(read_all(connection))

    assert (reply.status, reply.headers["connection"]) == (413, "close")


def test_a_body_that_waits_for_a_100_is_called_for(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(POST + b"expect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        proceed = connection.recv(100)
        connection.sendall(b"ab")

        (reply,) = parse(read_all(connection))

    assert proceed == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert reply.json["body"] == "ab"


@pytest.mark.parametrize("before", [b"", GET + HOST + b"\r\n"], ids=["first", "later"])
def test_a_head_that_does_not_come_in_time_is_refused(before: bytes) -> None:
    with serve(head=0.2) as server:
        *_, reply = server.ask(before + GET + b"host:")

    assert reply.status == 408


def test_a_head_that_waits_for_the_answer_before_it_is_not_late(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n" + GET)
        protocol = server.only_connection()
        wait_until(lambda: protocol._in_head and protocol._busy)

        server.call(protocol._sends_too_slowly)
        server.call(server.app.release.set)
        connection.sendall(HOST + LAST)

        assert [reply.status for reply in parse(read_all(connection))] == [200, 200]


@pytest.mark.parametrize("data", [b"", b"\r\n"])
def test_a_client_that_asks_nothing_is_let_go_without_a_word(data: bytes) -> None:
    with serve(head=0.1) as server:
        assert server.ask(data) == []
        assert server.listener.port.refusals == {}


def test_a_connection_without_a_next_request_is_closed_whatever_empty_lines_come() -> None:
    with serve(next_request=1) as server:
        assert [reply.status for reply in server.ask(GET + HOST + b"\r\n" + b"\r\n")] == [200]


def test_a_request_whose_body_breaks_is_ended_though_its_client_stays() -> None:
    with serve(farewell=1_000) as server, server.connect() as connection:
        connection.sendall(POST + b"transfer-encoding: chunked\r\n\r\n")
        wait_until(lambda: server.app.seen == ["/"])
        connection.sendall(b"x\r\n")

        assert server.app.left.wait(20)


def test_a_client_that_stays_after_a_refusal_is_let_go() -> None:
    with serve(farewell=0.2) as server, server.connect() as connection:
        connection.sendall(POST + b"transfer-encoding: chunked\r\n\r\nx\r\n")

        wait_until(lambda: server.app.seen == ["/"])
        wait_until(lambda: server.listener.open_connections == 0)


def test_a_connection_on_which_a_request_has_begun_is_not_idle() -> None:
    with serve(head=1_000) as server, server.connect() as connection:
        connection.sendall(GET + HOST + b"\r\n")
        read_one(connection)
        protocol = server.only_connection()
        wait_until(lambda: protocol._next_request.is_set)
        connection.sendall(GET)

        wait_until(lambda: not protocol._next_request.is_set)


def test_a_request_that_began_before_the_last_answer_is_not_idle() -> None:
    with serve() as server, server.connect() as connection:
        connection.sendall(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n" + GET)
        wait_until(lambda: server.only_connection()._in_head)
        server.call(server.app.release.set)
        read_one(connection)

        assert not server.only_connection()._next_request.is_set


@pytest.mark.parametrize("data", [GET + HOST + b"\r\n", GET + b"\r\n"], ids=["kept", "refused"])
def test_a_lost_connection_leaves_nothing_to_the_garbage_collector(data: bytes) -> None:
    gc.disable()
    try:
        with serve() as server:
            with server.connect() as connection:
                connection.sendall(data)
                connection.recv(1)
                protocol = weakref.ref(server.only_connection())

            wait_until(lambda: protocol() is None)
    finally:
        gc.enable()


def test_refusals_are_counted_by_status() -> None:
    with serve() as server:
        server.ask(GET + b"\r\n")
        server.ask(GET + b"\r\n")
        server.ask(head(fields=101))

        assert server.listener.port.refusals == {400: 2, 431: 1}


def endless(server: Server) -> socket.socket:
    """Return the connection of a client that has asked for more than it has read yet, its server at rest."""
    connection = server.connect(receive_buffer=4096)
    connection.sendall(b"GET /endless HTTP/1.1\r\n" + HOST + b"\r\n")
    wait_until(lambda: server.only_connection().flow is not None and server.only_connection().flow.write_paused)
    return connection


def test_a_client_that_reads_nothing_is_cut() -> None:
    with serve(reading=0.2) as server, endless(server):
        assert server.app.left.wait(20)
        wait_until(lambda: server.listener.open_connections == 0)


def test_little_is_held_for_a_client_that_reads_nothing() -> None:
    with serve() as server, endless(server):
        protocol = server.only_connection()
        assert protocol._reader_watch is not None
        unread = server.call(protocol._reader_watch.unread_bytes)
        held = server.call(protocol._raw.get_write_buffer_size)

        assert held <= 64 * 1024
        assert 0 < unread - held <= 64 * 1024  # the kernel's share, which would be megabytes
        assert server.app.sent_bytes <= 512 * 1024


def test_a_client_that_reads_slowly_is_not_cut() -> None:
    with serve(reading=1_000) as server, endless(server) as connection:
        protocol = server.only_connection()
        watch = protocol._reader_watch
        assert watch is not None

        for _ in range(3):
            unread = server.call(watch.unread_bytes)
            while server.call(watch.unread_bytes) >= unread:
                connection.recv(256)
            for _ in range(LOOKS):
                server.call(watch.look)
        assert not protocol._raw.is_closing()

        server.call(watch.look)
        assert server.app.left.wait(20)


def test_an_answer_that_nobody_reads_does_not_keep_a_closed_connection() -> None:
    with serve(reading=0.2) as server, server.connect(receive_buffer=4096) as connection:
        connection.sendall(POST + b"content-length: 40000\r\n" + LAST + b"x" * 40_000)
        wait_until(lambda: server.only_connection()._leaving)

        assert 0 < server.only_connection()._raw.get_write_buffer_size() < WRITE_BUFFER_BYTES
        wait_until(lambda: server.listener.open_connections == 0)


def test_a_refusal_waits_for_the_request_being_served() -> None:
    with serve() as server, server.connect() as connection:
        connection.sendall(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n" + b"garbage\r\n\r\n")
        wait_until(lambda: server.app.seen == ["/held"])
        server.call(server.app.release.set)

        assert [reply.status for reply in parse(read_all(connection))] == [200, 400]
