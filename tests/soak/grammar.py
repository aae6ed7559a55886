"""Requests that no client should send: whole ones from a small grammar of HTTP/1.1, bent in their parts, then in their bytes.

Pure: `draw_attack(seed, index)` is always the same bytes in the same pieces.
"""

import enum
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.soak.oddities import (
    BODIES,
    CHATS,
    CHUNK_SIZES,
    FIELDS,
    GARBAGE,
    LARGE_BODIES,
    METHODS,
    PREFACES,
    TARGETS,
    VERSIONS,
)


class Ending(enum.Enum):
    """What the client does once it has sent everything."""

    WAIT = "waits for the answers, and closes its side when nothing comes any more"
    HALF_CLOSE = "closes its side at once"
    RESET = "resets the connection at once"


@dataclass(frozen=True)
class Attack:
    """What one connection sends, in which pieces."""

    pieces: tuple[bytes, ...]
    ending: Ending
    requests: int


@dataclass
class Draft:
    """One request in its parts. `framing` is content-length, chunked or neither."""

    method: bytes = b"POST"
    target: bytes = b"/api/chat"
    version: bytes = b"HTTP/1.1"
    fields: list[bytes] = field(default_factory=list)
    body: bytes = b""
    framing: str = "length"
    line_end: bytes = b"\r\n"
    odd_chunk: bytes | None = None


def draw_attack(seed: int, index: int) -> Attack:
    """Return the attack number `index` of `seed`."""
    draw = random.Random(f"{seed}:{index}")
    requests = draw.choice((1, 1, 1, 1, 2, 3, 8))
    data = b"".join(_bent_bytes(draw, _written(draw, _bent(draw, _whole(draw)))) for _ in range(requests))
    if draw.random() < 0.03:
        data = draw.choice(PREFACES) + data
    ending = draw.choices((Ending.WAIT, Ending.HALF_CLOSE, Ending.RESET), weights=(8, 1, 1))[0]
    return Attack(_split(draw, data), ending, requests)


def _whole(draw: random.Random) -> Draft:
    """Return a request that means something, one in four a good chat."""
    if draw.random() < 0.2:
        return Draft(method=b"GET", target=draw.choice(TARGETS), framing="none", fields=[b"Host: service"])
    bodies = draw.choices((BODIES, LARGE_BODIES, CHATS), weights=(65, 5, 30))[0]
    return Draft(
        body=draw.choice(bodies),
        framing=draw.choice(("length", "length", "chunked")),
        fields=[b"Host: service", b"Content-Type: application/json"],
    )


def _bent(draw: random.Random, draft: Draft) -> Draft:
    for bend in draw.choices(BENDS, k=draw.choice((0, 1, 1, 2, 3))):
        bend(draw, draft)
    return draft


def _bend_line(draw: random.Random, draft: Draft) -> None:
    part, values = draw.choice((("method", METHODS), ("target", TARGETS), ("version", VERSIONS)))
    setattr(draft, part, draw.choice(values))


def _add_field(draw: random.Random, draft: Draft) -> None:
    draft.fields.insert(draw.randint(0, len(draft.fields)), draw.choice(FIELDS))


def _drop_field(draw: random.Random, draft: Draft) -> None:
    if draft.fields:
        draft.fields.pop(draw.randrange(len(draft.fields)))


def _bend_framing(draw: random.Random, draft: Draft) -> None:
    draft.framing = draw.choice(("length", "chunked", "none", "both", "long", "short"))


def _bend_chunk(draw: random.Random, draft: Draft) -> None:
    draft.framing, draft.odd_chunk = "chunked", draw.choice(CHUNK_SIZES)


def _bend_line_end(draw: random.Random, draft: Draft) -> None:
    draft.line_end = draw.choice((b"\n", b"\r", b"\r\r\n", b"\r\n ", b"\x00\r\n"))


Bend = Callable[[random.Random, Draft], None]
BENDS: tuple[Bend, ...] = (_bend_line, _add_field, _add_field, _add_field, _drop_field, _bend_framing, _bend_chunk, _bend_line_end)


def _written(draw: random.Random, draft: Draft) -> bytes:
    fields = list(draft.fields)
    length = len(draft.body) + {"long": 7, "short": -7}.get(draft.framing, 0)
    if draft.framing in ("length", "both", "long", "short"):
        fields.append(b"Content-Length: %d" % length)
    if draft.framing in ("chunked", "both"):
        fields.append(b"Transfer-Encoding: chunked")
    body = _chunked(draw, draft) if draft.framing in ("chunked", "both") else draft.body
    line = b" ".join((draft.method, draft.target, draft.version))
    return draft.line_end.join((line, *fields, b"", b"")) + body


def _chunked(draw: random.Random, draft: Draft) -> bytes:
    step = max(1, len(draft.body) // draw.choice((1, 2, 30)))
    chunks = [draft.body[start : start + step] for start in range(0, len(draft.body), step)]
    written = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    if draft.odd_chunk is not None:
        written.insert(draw.randint(0, len(written)), draft.odd_chunk + b"\r\nabcde\r\n")
    return b"".join(written) + draw.choice((b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nTrailer: a\r\n\r\n", b"0\r\nHost: b\r\n\r\n", b"0\r\n", b""))


def _bent_bytes(draw: random.Random, data: bytes) -> bytes:
    """Return `data`, in two cases of three as it is, else with a part of it cut off, left out, twice, or garbled."""
    begin = draw.randint(0, min(len(data), 2_000))
    end = min(len(data), begin + draw.choice((1, 1, 4, 40)))
    match draw.randrange(15):
        case 0:
            return data[:begin]
        case 1:
            return data[:begin] + data[end:]
        case 2:
            return data[:end] + data[begin:]
        case 3:
            return data[:begin] + draw.choice(GARBAGE) + data[begin:]
        case 4:
            return data[:begin] + draw.randbytes(end - begin) + data[end:]
        case _:
            return data


def _split(draw: random.Random, data: bytes) -> tuple[bytes, ...]:
    """Return `data` in up to 20 pieces, cut mostly in the first 2 000 bytes, where the heads are."""
    cuts = sorted(draw.randint(0, min(len(data), draw.choice((2_000, 2_000, 1 << 20)))) for _ in range(draw.choice((0, 0, 1, 3, 19))))
    edges = [0, *cuts, len(data)]
    return tuple(piece for begin, end in itertools.pairwise(edges) if (piece := data[begin:end]))
