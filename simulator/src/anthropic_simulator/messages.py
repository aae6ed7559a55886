"""An answer on the wire: as one JSON body, or as the frames of an SSE stream in the API's order."""

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from anthropic_simulator.answers import Answer, Part, TextPart, ThinkingPart

_PIECE = re.compile(r"(?:\S+\s*|\s+){1,3}")
_JSON_PIECE_CHARACTERS = 16


class Frame(NamedTuple):
    """One SSE event, encoded; `is_delta` marks those that come at a pace."""

    data: bytes
    is_delta: bool = False


def encode_event(name: str, data: bytes) -> bytes:
    """Return one SSE event whose data is a single line of JSON."""
    return b"event: %s\ndata: %s\n\n" % (name.encode("ascii"), data)


PING = Frame(encode_event("ping", b'{"type": "ping"}'))
MESSAGE_STOP = Frame(encode_event("message_stop", b'{"type":"message_stop"}'))


def encode_message(answer: Answer) -> bytes:
    """Return the answer as the body of a JSON answer."""
    return orjson.dumps(_message(answer, content=[_block(part) for part in answer.parts]))


def encode_stream(answer: Answer, *, events: int | None) -> list[Frame]:
    """Return the frames of the answer's stream; with `events` the text comes in that many deltas."""
    return list(_frames(answer, events))


def count_deltas(answer: Answer, *, events: int | None) -> int:
    """Return how many deltas the answer's stream has."""
    return sum(1 for part in answer.parts for _ in _deltas(part, events))


def _frames(answer: Answer, events: int | None) -> Iterator[Frame]:
    yield _frame("message_start", {"message": _message(answer, content=None)})
    for index, part in enumerate(answer.parts):
        yield _frame("content_block_start", {"index": index, "content_block": _empty_block(part)})
        if index == 0:
            yield PING
        for delta in _deltas(part, events):
            yield _frame("content_block_delta", {"index": index, "delta": delta}, is_delta=True)
        yield _frame("content_block_stop", {"index": index})
    delta = {"stop_reason": answer.stop_reason, "stop_sequence": answer.stop_sequence, "stop_details": None}
    yield _frame("message_delta", {"delta": delta, "usage": _final_usage(answer)})
    yield MESSAGE_STOP


def _frame(name: str, fields: dict[str, Any], *, is_delta: bool = False) -> Frame:
    return Frame(encode_event(name, orjson.dumps({"type": name, **fields})), is_delta)


def _deltas(part: Part, events: int | None) -> Iterator[dict[str, Any]]:
    if isinstance(part, TextPart):
        pieces = _PIECE.findall(part.text) if events is None else _split_evenly(part.text, events)
        for piece in pieces:
            yield {"type": "text_delta", "text": piece}
    elif isinstance(part, ThinkingPart):
        for piece in _PIECE.findall(part.thinking):
            yield {"type": "thinking_delta", "thinking": piece}
        yield {"type": "signature_delta", "signature": part.signature}
    else:
        text = orjson.dumps(part.input).decode("utf-8")
        yield {"type": "input_json_delta", "partial_json": ""}
        for start in range(0, len(text), _JSON_PIECE_CHARACTERS):
            yield {"type": "input_json_delta", "partial_json": text[start : start + _JSON_PIECE_CHARACTERS]}


def _split_evenly(text: str, count: int) -> Sequence[str]:
    count = min(count, len(text))
    ends = [len(text) * number // count for number in range(count + 1)]
    return [text[start:end] for start, end in itertools.pairwise(ends)]


def _block(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ThinkingPart):
        return {"type": "thinking", "thinking": part.thinking, "signature": part.signature}
    return {"type": "tool_use", "id": part.id, "name": part.name, "input": part.input, "caller": {"type": "direct"}}


def _empty_block(part: Part) -> dict[str, Any]:
    block = _block(part)
    if isinstance(part, TextPart):
        return block | {"text": ""}
    if isinstance(part, ThinkingPart):
        return block | {"thinking": "", "signature": ""}
    return block | {"input": {}}


def _message(answer: Answer, *, content: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Return the message; without content it is one that has only begun."""
    begun = content is None
    return {
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content or [],
        "stop_reason": None if begun else answer.stop_reason,
        "stop_sequence": None if begun else answer.stop_sequence,
        "stop_details": None,
        "usage": _usage(answer, output_tokens=1 if begun else answer.output_tokens),
    }


def _usage(answer: Answer, *, output_tokens: int) -> dict[str, Any]:
    return {
        "input_tokens": answer.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }


def _final_usage(answer: Answer) -> dict[str, Any]:
    usage = _usage(answer, output_tokens=answer.output_tokens)
    del usage["service_tier"]
    return usage | {"output_tokens_details": {"thinking_tokens": answer.thinking_tokens}}
