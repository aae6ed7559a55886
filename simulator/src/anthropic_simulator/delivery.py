"""Puts an answer on the connection, in steps: planned first (pure), then played over ASGI until the end or until the client leaves.

The first token's delay comes before the headers, as the API sends those with its first event.
"""

import asyncio
import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from anthropic_simulator.behaviour import Behaviour
from anthropic_simulator.messages import Frame, encode_event

_BURST_BYTES = 65536


@dataclass(frozen=True)
class Start:
    """Send the status and the headers."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]


class Ending(enum.Enum):
    """How an answer stops without being complete."""

    STALL = "nothing more is sent, the connection stays open"
    CUT = "the connection is closed"


# A wait in seconds, bytes of the body, or one of the above. Bytes that follow each other belong together.
Step = float | bytes | Start | Ending


def plan_json(body: bytes, behaviour: Behaviour, *, deltas: int) -> list[Step]:
    """Return the steps of a JSON answer, which takes as long as its stream would: after the first of `deltas`, one pace each."""
    start = Start(200, ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))))
    seconds = behaviour.first_token_delay_seconds + behaviour.pace_seconds * max(0, deltas - 1)
    steps: list[Step] = [seconds] if seconds else []
    fault = _first_ending(behaviour)
    if fault is None:
        return [*steps, start, body]
    position, ending = fault
    return [*steps, ending] if position == 0 else [*steps, start, body[: len(body) // 2], ending]


def plan_stream(frames: Sequence[Frame], behaviour: Behaviour, *, overloaded: bytes) -> list[Step]:
    """Return the steps of a stream; a fault "at" n takes the place of event n, `overloaded` being the data of the `error` event."""
    steps: list[Step] = [behaviour.first_token_delay_seconds] if behaviour.first_token_delay_seconds else []
    last = len(frames) + 1
    position, ending = _first_ending(behaviour) or (last, None)
    overload_at = behaviour.overload_at or last
    if overload_at < position:
        position, ending = overload_at, None
    if position == 0 and ending is not None:
        return [*steps, ending]
    steps.append(Start(200, ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"))))
    steps += _paced(frames[: max(0, position - 1)], behaviour.pace_seconds)
    if position > len(frames):
        return steps
    steps.append(encode_event("error", overloaded) if ending is None else ending)
    return steps


def _first_ending(behaviour: Behaviour) -> tuple[int, Ending] | None:
    """Return where the earlier of cut and stall strikes, and which it is."""
    if behaviour.cut_at is None and behaviour.stall_at is None:
        return None
    cut_at = math.inf if behaviour.cut_at is None else behaviour.cut_at
    stall_at = math.inf if behaviour.stall_at is None else behaviour.stall_at
    return (int(cut_at), Ending.CUT) if cut_at <= stall_at else (int(stall_at), Ending.STALL)


def _paced(frames: Sequence[Frame], pace_seconds: float) -> list[Step]:
    if not pace_seconds:
        return [b"".join(frame.data for frame in frames)]
    steps: list[Step] = []
    first = True
    for frame in frames:
        if frame.is_delta and not first:
            steps.append(pace_seconds)
        first = first and not frame.is_delta
        steps.append(frame.data)
    return steps


class Delivery:
    """An ASGI response that plays its steps; raises ClientDisconnect as soon as the client leaves before the end."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer; needs the connection's transport in the scope's state (see `server.py`)."""
        player = _Player(scope["state"]["transport"], send)
        if any(isinstance(step, (float, Ending)) for step in self._steps):
            finished = await self._race(player, receive)
        else:
            finished = await player.play(self._steps)
        if not finished:
            await _client_left(receive)  # which the server has noticed by then; returning earlier is an error to it
            raise ClientDisconnect

    async def _race(self, player: "_Player", receive: Receive) -> bool:
        playing = asyncio.create_task(player.play(self._steps))
        leaving = asyncio.create_task(_client_left(receive))
        try:
            await asyncio.wait({playing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            return player.cut or (playing.done() and playing.result())
        finally:
            playing.cancel()
            leaving.cancel()
            await asyncio.gather(playing, leaving, return_exceptions=True)


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Player:
    def __init__(self, transport: asyncio.Transport, send: Send) -> None:
        self.cut = False
        self._transport = transport
        self._send = send

    async def play(self, steps: Sequence[Step]) -> bool:
        """Send everything and the end; returns False when the client left on the way. After a stall or a cut it waits to be cancelled."""
        for step in steps:
            if isinstance(step, bytes):
                await self._send_body(step)
            elif isinstance(step, float):
                await asyncio.sleep(step)
            elif isinstance(step, Start):
                await self._send({"type": "http.response.start", "status": step.status, "headers": list(step.headers)})
            else:
                await self._end_early(step)
            if self._transport.is_closing():
                return False
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        return True

    async def _send_body(self, data: bytes) -> None:
        for start in range(0, len(data), _BURST_BYTES):
            if not self._transport.is_closing():
                await self._send({"type": "http.response.body", "body": data[start : start + _BURST_BYTES], "more_body": True})

    async def _end_early(self, ending: Ending) -> None:
        if ending is Ending.CUT:
            self.cut = True
            self._transport.abort()
        await asyncio.get_running_loop().create_future()
