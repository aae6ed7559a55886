"""Server-sent events: an encoder for what we send and an incremental parser for what the model's API sends.

Format: WHATWG HTML, "Server-sent events". Only `data` is read, since the API repeats the event's name in it as `type`.
"""

from typing import Any

import orjson

MAX_EVENT_BYTES = 4 * 1024 * 1024


def encode_event(name: str, data: object) -> bytes:
    """Return one event on the wire, its data as compact JSON."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))


class EventParser:
    """Collects bytes and gives back the data of every event that is complete."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[dict[str, Any]]:
        """Return the events that `chunk` completes; raises ValueError for what is no event stream of JSON objects."""
        text = self._rest + chunk
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n")
        *blocks, self._rest = text.split(b"\n\n")
        if len(self._rest) > MAX_EVENT_BYTES:
            raise ValueError("an event exceeds 4 MiB")
        return [event for block in blocks if (event := _data(block)) is not None]


def _data(block: bytes) -> dict[str, Any] | None:
    lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
    if not lines:
        return None
    event = orjson.loads(b"\n".join(lines))
    if not isinstance(event, dict):
        raise ValueError("an event's data is not an object")  # noqa: TRY004  one error type for everything unreadable
    return event
