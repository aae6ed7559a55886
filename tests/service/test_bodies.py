"""Bodies by size, by pace and by the memory of all of them."""

import asyncio
from collections.abc import Iterator

import pytest
from starlette.types import Message

from chatbot_service.bodies import FIRST_BYTES, Bodies
from chatbot_service.errors import BodyTooLarge, BodyTooSlow, Busy, ClientLeft
from chatbot_service.exchange import Exchange
from tests.service.still_loop import StillLoop

KIB = 1024
LEAVES: Message = {"type": "http.disconnect"}


def piece(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


class Upload:
    """One body on its way in."""

    def __init__(self, bodies: Bodies, loop: StillLoop, *messages: Message, announced: bytes | None = None) -> None:
        self.exchange = Exchange("id", "127.0.0.1", {b"content-length": announced} if announced is not None else {})
        self.asked = False
        self.abandoned = False
        self._loop = loop
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        for message in messages:
            self._messages.put_nowait(message)
        self.reading = loop.create_task(bodies.read(self.exchange, self._receive))
        loop.settle()

    async def _receive(self) -> Message:
        self.asked = True
        try:
            return await self._messages.get()
        except BaseException:
            self.abandoned = True
            raise

    def send(self, *messages: Message) -> None:
        for message in messages:
            self._messages.put_nowait(message)
            self._loop.settle()

    def pass_seconds(self, seconds: float) -> None:
        self._loop.now += seconds
        self._loop.settle()

    @property
    def error(self) -> BaseException | None:
        return self.reading.exception() if self.reading.done() else None


class World:
    """A service that takes bodies of 1 MiB within a minute, and 2 MiB of them together."""

    def __init__(self) -> None:
        self.loop = StillLoop()
        self.refusals: list[str] = []
        self.bodies = Bodies(KIB * KIB, within_seconds=60, all_bytes=2 * KIB * KIB, on_refused=self.refusals.append)

    def upload(self, *messages: Message, announced: bytes | None = None) -> Upload:
        return Upload(self.bodies, self.loop, *messages, announced=announced)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.loop.end()


def test_a_body_that_is_there_at_once_costs_neither_a_timer_nor_a_copy(world: World) -> None:
    body = b"x" * 100

    upload = world.upload(piece(body, more=False), announced=b"100")

    assert upload.reading.result() is body
    assert world.loop.timers == []
    assert (upload.exchange.body_bytes, world.bodies.held_bytes) == (100, 100)


def test_a_body_is_read_to_its_end(world: World) -> None:
    upload = world.upload()

    upload.send(piece(b"ab"), piece(b""), piece(b"c"), piece(b"d", more=False))

    assert upload.reading.result() == b"abcd"
    assert all(timer.cancelled() for timer in world.loop.timers)


def test_a_body_whose_beginning_is_there_at_once_is_read_to_its_end(world: World) -> None:
    upload = world.upload(piece(b"ab"))

    upload.send({"type": "http.request"})

    assert upload.reading.result() == b"ab"


def test_what_is_announced_as_too_large_is_not_even_asked_for(world: World) -> None:
    upload = world.upload(announced=b"%d" % (KIB * KIB + 1))

    assert isinstance(upload.error, BodyTooLarge)
    assert not upload.asked


def test_what_turns_out_to_be_too_large_is_refused_as_soon_as_it_shows(world: World) -> None:
    upload = world.upload(piece(b"x" * KIB * KIB), announced=b"%d" % (KIB * KIB))
    assert not upload.reading.done()

    upload.send(piece(b"x"))

    assert isinstance(upload.error, BodyTooLarge)


@pytest.mark.parametrize("before", [[], [piece(b"a")], [piece(b"a"), piece(b"b")]], ids=len)
def test_a_client_that_leaves_is_gone(world: World, before: list[Message]) -> None:
    upload = world.upload(*before)

    upload.send(LEAVES)

    assert isinstance(upload.error, ClientLeft)


def test_a_client_that_has_left_is_gone(world: World) -> None:
    assert isinstance(world.upload(LEAVES).error, ClientLeft)


def test_who_sends_nothing_has_ten_seconds(world: World) -> None:
    upload = world.upload()

    upload.pass_seconds(9.9)
    assert not upload.reading.done()

    upload.pass_seconds(0.2)
    assert isinstance(upload.error, BodyTooSlow)
    assert upload.error.headers == {"Connection": "close"}
    assert upload.abandoned


def test_the_first_16_kib_have_ten_seconds_together(world: World) -> None:
    upload = world.upload(piece(b"x"))

    for _ in range(9):
        upload.pass_seconds(1)
        upload.send(piece(b"x" * KIB))
    upload.pass_seconds(1.1)

    assert isinstance(upload.error, BodyTooSlow)


def test_from_then_on_each_kib_buys_a_second(world: World) -> None:
    upload = world.upload(piece(b"x" * FIRST_BYTES))

    for _ in range(40):
        upload.pass_seconds(1)
        upload.send(piece(b"x" * KIB))
    assert not upload.reading.done()

    for _ in range(22):
        upload.pass_seconds(1)
        upload.send(piece(b"x" * (KIB // 2)))
    assert isinstance(upload.error, BodyTooSlow)


def test_much_at_first_does_not_buy_a_long_rest(world: World) -> None:
    upload = world.upload(piece(b"x" * 512 * KIB))

    upload.pass_seconds(9.9)
    upload.send(piece(b"x"))
    upload.pass_seconds(9.9)
    assert not upload.reading.done()

    upload.pass_seconds(0.2)
    assert isinstance(upload.error, BodyTooSlow)


def test_no_body_takes_longer_than_its_request_may(world: World) -> None:
    upload = world.upload(piece(b"x" * 512 * KIB))

    for _ in range(59):
        upload.pass_seconds(1)
        upload.send(piece(b"x" * KIB))
    assert not upload.reading.done()

    upload.pass_seconds(1.1)
    assert isinstance(upload.error, BodyTooSlow)


def test_a_request_that_is_cancelled_is_not_slow(world: World) -> None:
    upload = world.upload()

    upload.reading.cancel()
    world.loop.settle()

    assert upload.reading.cancelled()
    assert upload.abandoned


def test_all_bodies_together_have_a_bound(world: World) -> None:
    first, second = [world.upload(piece(b"x" * KIB * KIB, more=False)) for _ in range(2)]
    late = world.upload()

    late.send(piece(b"x"))

    assert isinstance(late.error, Busy)
    assert world.refusals == ["body_memory"]
    for upload in (first, second, late):
        world.bodies.release(upload.exchange)
    assert world.bodies.held_bytes == 0


def test_what_is_released_is_free_for_others_and_only_once(world: World) -> None:
    first, _ = [world.upload(piece(b"x" * KIB * KIB, more=False)) for _ in range(2)]

    world.bodies.release(first.exchange)
    world.bodies.release(first.exchange)

    assert world.bodies.held_bytes == KIB * KIB
    assert world.upload(piece(b"x" * KIB * KIB, more=False)).reading.result()
    assert isinstance(world.upload(piece(b"x")).error, Busy)


def test_a_body_as_large_as_one_may_be_always_has_room() -> None:
    loop = StillLoop()
    bodies = Bodies(8, within_seconds=60, all_bytes=4, on_refused=lambda _: None)

    assert Upload(bodies, loop, piece(b"12345678", more=False)).reading.result() == b"12345678"
    loop.end()
