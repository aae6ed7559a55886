"""Many connections at once that send much and end nothing: what they cost in all is bounded, and the probes go on."""

import asyncio
from dataclasses import dataclass

import pytest

from tests.conftest import Simulator
from tests.soak.conftest import KIB, MIB, bounded_growth, size, start_unlimited
from tests.soak.load import chat, get, post

pytestmark = pytest.mark.soak

TIMES = size(quick=1, full=4)
HEAD = b"POST /api/chat HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n"


ALLOWANCE_BYTES = 5 * MIB
"""For the allocator, whatever is done."""


@dataclass(frozen=True)
class Flood:
    """What each of so many connections sends, and what it may cost: `each_bytes` a connection, and `shared_bytes` for all of them."""

    connections: int
    data: bytes
    each_bytes: int
    shared_bytes: int = 0

    @property
    def cost_bytes(self) -> int:
        """Return what all of it may cost."""
        return ALLOWANCE_BYTES + self.shared_bytes + self.connections * TIMES * self.each_bytes


# 64 MiB of bodies are let in; what was refused in one go with them, and the allocator's gaps, come on top.
FLOODS = {
    "heads without an end": Flood(500, HEAD + b"a: " + b"v" * 15_000, each_bytes=40 * KIB),
    "bodies without an end": Flood(
        400, HEAD + b"content-length: 10000000\r\n\r\n" + b'"' * MIB, each_bytes=20 * KIB, shared_bytes=256 * MIB
    ),
    "bodies in tiny chunks": Flood(20, HEAD + b"transfer-encoding: chunked\r\n\r\n" + b'1\r\n"\r\n' * 50_000, each_bytes=256 * KIB),
    "large requests behind one that hangs": Flood(50, chat(stream=True) + post("/api/chat", b'"' * 64_000) * 8, each_bytes=350 * KIB),
    "requests behind one that hangs": Flood(100, chat(stream=True) + get("/health") * 10_000, each_bytes=96 * KIB),
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
async def test_a_flood_costs_no_more_than_its_bound(simulator: Simulator, flood: Flood) -> None:
    with start_unlimited(simulator.url) as service:
        service.chat(stream=True)
        simulator.behave(stall_at=5)
        with bounded_growth(service, flood.cost_bytes):
            connections = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(flood.connections * TIMES)]
            for _, writer in connections:
                writer.write(flood.data)
            await until_nothing_moves([writer for _, writer in connections])

            assert await asyncio.to_thread(service.ready)
            for _, writer in connections:
                writer.transport.abort()
        simulator.behave()

        await asyncio.to_thread(service.wait_until, lambda: service.chat().status == 200, seconds=5)


async def until_nothing_moves(writers: list[asyncio.StreamWriter]) -> None:
    """Return when the service takes in nothing more of what was sent to it."""
    before = -1
    while (waiting := sum(writer.transport.get_write_buffer_size() for writer in writers)) != before:
        before = waiting
        await asyncio.sleep(0.5)
