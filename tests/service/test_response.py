"""What is written here, against what uvicorn writes for the same answers."""

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from chatbot_service.response import ResponseWriter

DATE = (b"date", b"Sun, 22 Nov 2026 20:00:00 GMT")
JSON = (b"content-type", b"application/json")


class Written(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.data += bytes(data)

    def close(self) -> None:
        self.closed = True


def cycle_of(transport: Written, *, method: str, keep_alive: bool, version: str = "1.1") -> RequestResponseCycle:
    """Return a request as uvicorn has it while it is served."""
    logger = logging.getLogger(__name__)
    scope: Any = {"type": "http", "http_version": version, "method": method}
    return RequestResponseCycle(
        scope=scope,
        transport=transport,
        flow=FlowControl(transport),
        logger=logger,
        access_logger=logger,
        access_log=False,
        default_headers=[DATE],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )


def answer(status: int, fields: list[tuple[bytes, bytes]], body: bytes) -> list[dict[str, Any]]:
    return [
        {"type": "http.response.start", "status": status, "headers": fields},
        {"type": "http.response.body", "body": body},
    ]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept", "closed"])
@pytest.mark.parametrize(
    ("status", "fields", "body"),
    [
        (200, [JSON, (b"content-length", b"2")], b"{}"),
        (200, [JSON], b"{}"),
        (200, [], b""),
        (204, [], b""),
        (304, [], b""),
        (429, [JSON, (b"retry-after", b"1"), (b"content-length", b"2")], b"{}"),
    ],
    ids=str,
)
async def test_an_answer_reads_as_uvicorn_would_write_it(
    status: int, fields: list[tuple[bytes, bytes]], body: bytes, method: str, *, keep_alive: bool
) -> None:
    ours, theirs = Written(), Written()
    cycle, own_cycle = (cycle_of(transport, method=method, keep_alive=keep_alive) for transport in (theirs, ours))
    response = ResponseWriter(own_cycle)

    for message in answer(status, fields, body):
        await cycle.send(message)  # type: ignore[arg-type]  # a message of one of its kinds
        await response.send(message)

    assert _lines(ours.data) == _lines(theirs.data)
    assert (ours.closed, own_cycle.response_complete) == (theirs.closed, cycle.response_complete)


def _lines(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the head's lines and the body; the order of the last two is nobody's business."""
    head, _, body = data.partition(b"\r\n\r\n")
    return sorted(head.split(b"\r\n")), body


@pytest.mark.parametrize("value", [b"1\r\nset-cookie: a=b", b"1\nset-cookie: a=b", b"1\rset-cookie: a=b", b"\r\n", b"\n"], ids=repr)
async def test_no_field_can_begin_another(value: bytes) -> None:
    transport = Written()
    response = ResponseWriter(cycle_of(transport, method="GET", keep_alive=True))

    with pytest.raises(RuntimeError):
        await response.send({"type": "http.response.start", "status": 200, "headers": [(b"x-correlation-id", value)]})

    assert transport.data == b""


async def test_to_a_client_that_has_left_nothing_is_written() -> None:
    transport = Written()
    cycle = cycle_of(transport, method="GET", keep_alive=True)
    cycle.disconnected = True

    for message in answer(200, [JSON], b"{}"):
        await ResponseWriter(cycle).send(message)

    assert transport.data == b""


STREAM = [
    {"type": "http.response.start", "status": 200, "headers": [JSON]},
    {"type": "http.response.body", "body": b"one", "more_body": True},
    {"type": "http.response.body", "body": b"", "more_body": True},
    {"type": "http.response.body", "more_body": True},
    {"type": "http.response.body", "body": b"x" * 5000, "more_body": True},
    {"type": "http.response.body", "body": b"end"},
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept", "closed"])
async def test_a_stream_reads_as_uvicorn_would_write_it(method: str, *, keep_alive: bool) -> None:
    ours, theirs = Written(), Written()
    cycle, own_cycle = (cycle_of(transport, method=method, keep_alive=keep_alive) for transport in (theirs, ours))
    response = ResponseWriter(own_cycle)

    for message in STREAM:
        await cycle.send(message)  # type: ignore[arg-type]  # a message of one of its kinds
        await response.send(message)
        assert _lines(ours.data) == _lines(theirs.data)

    assert own_cycle.response_complete
    assert ours.closed == theirs.closed


@pytest.mark.parametrize("keep_alive", [True, False])
async def test_to_http_1_0_a_stream_is_what_comes_until_the_connection_is_closed(*, keep_alive: bool) -> None:
    transport = Written()
    cycle = cycle_of(transport, method="GET", keep_alive=keep_alive, version="1.0")
    response = ResponseWriter(cycle)

    for message in STREAM:
        await response.send(message)

    head, _, body = transport.data.partition(b"\r\n\r\n")
    assert body == b"one" + b"x" * 5000 + b"end"
    assert b"connection: close" in head
    assert b"transfer-encoding" not in head
    assert (transport.closed, cycle.response_complete) == (True, True)


async def test_a_piece_for_a_client_that_has_left_is_dropped() -> None:
    transport = Written()
    cycle = cycle_of(transport, method="GET", keep_alive=True)
    response = ResponseWriter(cycle)
    await response.send(STREAM[0])
    before = transport.data

    cycle.disconnected = True
    await response.send(STREAM[1])

    assert transport.data == before


async def test_a_head_that_is_refused_leaves_room_for_another() -> None:
    ours, theirs = Written(), Written()
    cycle, own_cycle = (cycle_of(transport, method="GET", keep_alive=True) for transport in (theirs, ours))
    response = ResponseWriter(own_cycle)

    with pytest.raises(RuntimeError):
        await response.send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"1\n2")]})
    for message in answer(500, [JSON, (b"content-length", b"2")], b"{}"):
        await cycle.send(message)  # type: ignore[arg-type]  # a message of one of its kinds
        await response.send(message)

    assert _lines(ours.data) == _lines(theirs.data)


async def test_a_piece_waits_for_a_client_that_does_not_read() -> None:
    transport = Written()
    cycle = cycle_of(transport, method="GET", keep_alive=True)
    response = ResponseWriter(cycle)
    await response.send(STREAM[0])
    before = transport.data
    cycle.flow.pause_writing()

    writing = asyncio.ensure_future(response.send(STREAM[1]))
    await asyncio.sleep(0)
    assert (transport.data, writing.done()) == (before, False)
    cycle.flow.resume_writing()
    await writing

    assert transport.data == before + b"3\r\none\r\n"


async def test_a_piece_before_the_head_or_after_the_end_is_refused() -> None:
    response = ResponseWriter(cycle_of(Written(), method="GET", keep_alive=True))

    with pytest.raises(RuntimeError):
        await response.send(STREAM[1])
    for message in STREAM:
        await response.send(message)
    with pytest.raises(RuntimeError):
        await response.send(STREAM[1])
