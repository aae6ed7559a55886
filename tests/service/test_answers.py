"""What the API may say and what it means, whatever pieces it comes in."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_service.answers import StreamedAnswer, read_answer, read_model
from chatbot_service.conversation import Answer, Delta, Event, Finished, Started, Usage
from chatbot_service.errors import UpstreamFailed, UpstreamGarbage, UpstreamOverloaded, UpstreamProblem

MESSAGE: dict[str, Any] = {
    "id": "m",
    "model": "claude",
    "content": [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "b"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 5, "output_tokens": 7},
}
MODEL: dict[str, Any] = {"id": "claude", "lifecycle": "deprecated", "retires_at": "2026-11-30T00:00:00Z"}
START: dict[str, Any] = {"type": "message_start", "message": {"id": "m", "model": "claude", "usage": {"input_tokens": 5}}}
TEXT: dict[str, Any] = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}
LAST: dict[str, Any] = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}
STOP: dict[str, Any] = {"type": "message_stop"}
OVERLOADED: dict[str, Any] = {"type": "error", "error": {"type": "overloaded_error", "message": "canary"}}
WHOLE: list[Event] = [Started("m", "claude"), Delta("a"), Finished("end_turn", Usage(5, 7))]


def told(*events: object) -> bytes:
    """Return `events` as the API sends them."""
    return b"".join(b"event: x\ndata: %b\n\n" % json.dumps(event).encode() for event in events)


def test_an_answer_in_one_piece_is_its_text_blocks() -> None:
    assert read_answer(json.dumps(MESSAGE).encode()) == Answer("m", "claude", "ab", "end_turn", Usage(5, 7))


@pytest.mark.parametrize(
    "change",
    [
        {"id": 7},
        {"model": None},
        {"content": None},
        {"content": [{"type": "text"}]},
        {"content": [{"type": "text", "text": 7}]},
        {"content": ["a"]},
        {"stop_reason": 7},
        {"usage": {}},
        {"usage": {"input_tokens": "many", "output_tokens": 1}},
        {"usage": {"input_tokens": 1.5, "output_tokens": 1}},
        {"usage": {"input_tokens": 2**53, "output_tokens": 1}},
        {"usage": {"input_tokens": -1, "output_tokens": 1}},
    ],
)
def test_an_answer_of_another_shape_is_garbage(change: dict[str, Any]) -> None:
    with pytest.raises(UpstreamGarbage):
        read_answer(json.dumps(MESSAGE | change).encode())


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b"null", b"[" * 100_000, b"\xff", b'{"id": "\\ud800"}', b"\x1f\x8b\x08"])
def test_what_is_no_object_is_garbage(content: bytes) -> None:
    with pytest.raises(UpstreamGarbage):
        read_answer(content)
    with pytest.raises(UpstreamGarbage):
        read_model(content)


@pytest.mark.parametrize(
    ("change", "meaning"),
    [
        ({}, ("deprecated", "2026-11-30T00:00:00+00:00")),
        ({"lifecycle": None, "retires_at": None}, (None, None)),
        ({"lifecycle": "a word of next year"}, (None, "2026-11-30T00:00:00+00:00")),
        ({"retires_at": ""}, ("deprecated", None)),
    ],
)
def test_a_model_says_how_long_it_has(change: dict[str, Any], meaning: tuple[str | None, str | None]) -> None:
    assert read_model(json.dumps(MODEL | change).encode()) == meaning


@pytest.mark.parametrize("change", [{"id": None}, {"lifecycle": 7}, {"retires_at": "soon"}, {"retires_at": 7}])
def test_a_model_of_another_shape_is_garbage(change: dict[str, Any]) -> None:
    with pytest.raises(UpstreamGarbage):
        read_model(json.dumps(MODEL | change).encode())


@given(size=st.integers(1, 400))
def test_a_streamed_answer_is_its_events_however_it_is_cut(size: int) -> None:
    answer, wire = StreamedAnswer(), told(START, TEXT, LAST, STOP)

    events = [event for start in range(0, len(wire), size) for event in answer.feed(wire[start : start + size])]

    assert events == WHOLE
    assert answer.finished


@pytest.mark.parametrize(
    "event",
    [
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "an event of next year", "index": []},
        {"type": None},
    ],
)
def test_what_says_nothing_to_us_is_passed_over(event: dict[str, Any]) -> None:
    assert StreamedAnswer().feed(told(event, START, event, TEXT, event, LAST, event, STOP)) == WHOLE


def test_nothing_comes_after_the_end() -> None:
    assert StreamedAnswer().feed(told(START, TEXT, LAST, STOP, TEXT, OVERLOADED) + b"data: nonsense\n\n") == WHOLE


def test_an_answer_without_a_beginning_is_garbage() -> None:
    with pytest.raises(UpstreamGarbage):
        StreamedAnswer().feed(told(LAST, STOP))


def test_usage_is_cumulative_and_what_is_not_repeated_stands() -> None:
    later = [LAST | {"usage": {"output_tokens": tokens}} for tokens in (3, 9)]

    events = StreamedAnswer().feed(told(START, *later, LAST | {"usage": None}, STOP))

    assert events[-1] == Finished("end_turn", Usage(5, 9))


def test_an_error_in_a_stream_is_judged_by_its_type() -> None:
    with pytest.raises(UpstreamOverloaded) as raised:
        StreamedAnswer().feed(told(OVERLOADED))

    assert raised.value.upstream_status == 529
    assert "canary" not in str(raised.value.body("id"))


@pytest.mark.parametrize(
    ("last", "kind"), [(told(OVERLOADED), UpstreamOverloaded), (told({"type": "error"}), UpstreamFailed), (b"data: x\n\n", UpstreamGarbage)]
)
def test_what_came_before_an_error_in_the_same_read_is_told_first(last: bytes, kind: type[UpstreamProblem]) -> None:
    answer = StreamedAnswer()

    assert answer.feed(told(START, TEXT) + last) == WHOLE[:2]
    assert type(answer.problem) is kind


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"type": "message_start"},
        {"type": "message_start", "message": {"id": 7, "model": "claude", "usage": {}}},
        {"type": "message_start", "message": {"id": "m", "model": "claude", "usage": {"input_tokens": "many"}}},
        {"type": "content_block_delta", "delta": {}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": None}},
        {"type": "message_delta"},
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 2**60}},
        {"type": "message_delta", "delta": {"stop_reason": 7}},
        [],
    ],
)
def test_an_event_of_another_shape_is_garbage(event: object) -> None:
    with pytest.raises(UpstreamGarbage):
        StreamedAnswer().feed(told(event, STOP))


@given(data=st.binary(max_size=200), size=st.integers(1, 50))
def test_no_bytes_raise_anything_but_a_problem(data: bytes, size: int) -> None:
    answer = StreamedAnswer()
    try:
        for start in range(0, len(data), size):
            answer.feed(data[start : start + size])
    except UpstreamProblem:
        assert not answer.finished
