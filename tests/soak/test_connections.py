"""The HTTP client among servers and callers of any behaviour: connections end up kept or closed, and no caller waits past its deadline."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from chatbot_service.errors import UpstreamProblem
from tests.service.peers import CHUNKED, END, OK, Peer, chunk, until
from tests.service.wires import Client, talking
from tests.soak.conftest import size

pytestmark = pytest.mark.soak

ROUNDS = size(quick=40, full=1_000)
CALLERS = 20
PATIENCE_SECONDS = 30.0


async def capricious(peer: Peer) -> None:
    """Answers in one of many ways, or not."""
    while True:
        await peer.request()
        match random.randrange(8):
            case 0:
                peer.reset()
                return
            case 1:
                return
            case 2:
                peer.send(OK + b"x")
            case 3:
                peer.send(CHUNKED + chunk(b"o"))
                await asyncio.sleep(random.random() / 500)
                peer.send(chunk(b"k") + END)
            case 4:
                peer.send(OK[:30])
                await asyncio.sleep(0)
                peer.send(OK[30:])
            case _:
                peer.send(OK)


async def ask(client: Client) -> None:
    """Ask for an answer, which is right or none."""
    try:
        answer = await client.ask(b"x" * random.choice([1, 100, 300_000]), seconds=random.choice([0.001, 0.01, 5]))
    except UpstreamProblem:
        return
    assert answer == (200, b"ok")


async def storm(client: Client) -> None:
    """Let callers ask at once, half of whom are cancelled at some moment."""
    calls = [asyncio.create_task(ask(client)) for _ in range(CALLERS)]
    await asyncio.sleep(random.random() / 100)
    for call in calls[::2]:
        call.cancel()
    _, waiting = await asyncio.wait(calls, timeout=PATIENCE_SECONDS)
    assert not waiting
    for call in calls:
        if not call.cancelled():
            await call


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_nothing_is_lost_in_a_storm(tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop], *, tls: bool) -> None:
    async def weather() -> None:
        async with talking(capricious, folder=tmp_path if tls else None) as (client, server):
            for _ in range(ROUNDS):
                await storm(client)
            await until(lambda: client.wire.open_connections == client.wire.idle_connections)
            await until(
                lambda: (
                    sum(not peer.reader.at_eof() and not peer.reader.exception() for peer in server.peers) <= client.wire.idle_connections
                )
            )

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(weather())
