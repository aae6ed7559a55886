"""Server-sent events: an encoder for what we send and an incremental parser for what the model's API sends.

Format: WHATWG HTML, "Server-sent events". Only `data` is read, since the API repeats the event's name in it as `type`.
"""

from collections.abc import Iterator
from typing import Any

import orjson

MAX_EVENT_BYTES = 1024 * 1024


def encode_event(name: str, data: object) -> bytes:
    """Return one event on the wire, its data as compact JSON."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))


class EventParser:
    """Collects bytes and gives back the data of every event that is complete."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[dict[str, Any]]:
        """Yield the events that `chunk` completes; raises ValueError for what is no event stream of JSON objects."""
        text = self._rest + chunk
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n")
        *blocks, self._rest = text.split(b"\n\n")
        if len(self._rest) > MAX_EVENT_BYTES:
            raise ValueError("an event exceeds 1 MiB")
        for block in blocks:
            name, mark, data = block.partition(b"\ndata:")
            if not mark or b"\n" in data or name.startswith(b"data"):
                data = _data(block)
            if data:
                event = orjson.loads(data)
                if not isinstance(event, dict):
                    raise ValueError("an event's data is not an object")
                yield event


def _data(block: bytes) -> bytes:
    """Return the data of an event that is more, or less, than a name and a line of data."""
    return b"\n".join([line[5:] for line in block.split(b"\n") if line.startswith(b"data:")])
