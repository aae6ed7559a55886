"""A stream of events towards a client that reads when the test lets it, in the test's time."""

import asyncio
from collections.abc import Iterator

import pytest
from starlette.types import Message

from chatbot_service.event_stream import EventStream
from tests.service.still_loop import StillLoop

PING = b"event: ping\ndata: {}\n\n"


@pytest.fixture
def loop() -> Iterator[StillLoop]:
    loop = StillLoop()
    yield loop
    loop.end()


class Client:
    """Takes messages while it reads; `bodies` are those that it took."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.reads.set()
        self.bodies: list[bytes] = []

    async def send(self, message: Message) -> None:
        """Be the server's `send`, which waits first and writes then."""
        await self.reads.wait()
        if message["type"] == "http.response.body":
            self.bodies.append(message["body"])


def test_a_client_that_does_not_read_finds_one_ping_however_long_it_took(loop: StillLoop) -> None:
    client = Client()

    async def answer() -> None:
        async with EventStream(client.send, began=loop.now, ping_seconds=10) as stream:
            await stream.write(b"one")
            client.reads.clear()
            await stream.write(b"two")
            await stream.write(b"three", last=True)

    answering = loop.create_task(answer())
    loop.settle()
    for _ in range(5):
        loop.now += 10
        loop.settle()
    assert client.bodies == [b"one"]

    client.reads.set()
    loop.settle()

    assert client.bodies == [b"one", b"two", PING, b"three"]
    assert answering.done()


def test_a_write_that_is_given_up_while_the_client_does_not_read_sends_nothing(loop: StillLoop) -> None:
    client = Client()

    async def answer() -> None:
        async with EventStream(client.send, began=loop.now, ping_seconds=10) as stream:
            await stream.write(b"one")
            client.reads.clear()
            await stream.write(b"two")

    answering = loop.create_task(answer())
    loop.settle()
    answering.cancel()
    client.reads.set()
    loop.settle()

    assert answering.cancelled()
    assert client.bodies == [b"one"]


def test_nothing_follows_the_last(loop: StillLoop) -> None:
    client, over = Client(), asyncio.Event()

    async def answer() -> None:
        async with EventStream(client.send, began=loop.now, ping_seconds=10) as stream:
            await stream.write(b"one", last=True)
            await over.wait()
            await stream.write(b"two")
            await stream.write(b"three", last=True)

    answering = loop.create_task(answer())
    loop.settle()
    loop.now += 10
    loop.settle()
    over.set()
    loop.settle()

    assert answering.done()
    assert client.bodies == [b"one"]
