import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_service.sse import EventParser, encode_event


def test_an_event_is_its_name_and_compact_json() -> None:
    assert encode_event("delta", {"text": "a\nb"}) == b'event: delta\ndata: {"text":"a\\nb"}\n\n'


@given(texts=st.lists(st.text()), size=st.integers(min_value=1, max_value=40))
def test_events_are_read_however_they_are_cut(texts: list[str], size: int) -> None:
    wire = b"".join(encode_event("delta", {"text": text}) for text in texts)
    parser = EventParser()

    events = [event for start in range(0, len(wire), size) for event in parser.feed(wire[start : start + size])]

    assert events == [{"text": text} for text in texts]


@given(size=st.integers(min_value=1, max_value=20))
def test_carriage_returns_comments_and_other_fields_are_understood(size: int) -> None:
    wire = b': hello\r\n\r\nid: 1\r\nevent: x\r\ndata: {"a":\r\ndata:1}\r\n\r\n'
    parser = EventParser()

    events = [event for start in range(0, len(wire), size) for event in parser.feed(wire[start : start + size])]

    assert events == [{"a": 1}]


@pytest.mark.parametrize(
    "wire",
    [
        b'data:{"a":1}\n\n',
        b'data: {"a":1}\nevent: x\n\n',
        b'data: {"a":\ndata: 1}\n\n',
        b'data\ndata: {"a":1}\n\n',
        b'event: x\ndata: {"a":\ndata: 1}\n\n',
        b'event: x\ndata: {"a":1}\nid: 2\n\n',
        b': a comment\n\nevent: ping\n\ndata\n\ndatum: 1\n\n\n\n\nevent: x\ndata:{"a":1}\n\n',
    ],
)
def test_an_event_is_read_in_whatever_order_its_lines_come(wire: bytes) -> None:
    assert list(EventParser().feed(wire)) == [{"a": 1}]


@pytest.mark.parametrize("wire", [b"data: nonsense\n\n", b"data: [1]\n\n", b"data: \xff\n\n", b"x" * (2 * 1024 * 1024)])
def test_what_is_no_event_stream_of_objects_raises_value_error(wire: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  orjson's messages are its own
        list(EventParser().feed(wire))
