import json
import os
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatbot_service import validation
from chatbot_service.conversation import Conversation, Turn
from chatbot_service.errors import Problem, Undecodable, Unprocessable, UnsupportedMediaType
from chatbot_service.validation import MAX_COMPLAINTS, MAX_POINTER_LENGTH, check_media_type, parse_chat

CANARY = "canary-prompt"


def parse(value: object) -> Any:
    return parse_chat(json.dumps(value).encode())


def pointers(value: object) -> list[str]:
    with pytest.raises(Unprocessable) as caught:
        parse(value)
    return [error["pointer"] for error in caught.value.extensions["errors"]]


def test_a_message_is_a_conversation_of_one_turn() -> None:
    request = parse({"message": "Hello"})

    assert request.conversation == (Turn("user", "Hello"),)
    assert request.stream is False


def test_messages_are_the_conversation_so_far() -> None:
    turns = [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}, {"role": "user", "content": "3"}]

    request = parse({"messages": turns, "stream": True})

    assert [(turn.role, turn.content) for turn in request.conversation] == [("user", "1"), ("assistant", "2"), ("user", "3")]
    assert all(isinstance(turn, Turn) for turn in request.conversation)
    assert request.stream is True


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"[" * 200_000,
        b"{" * 200_000,
        b'{"message": ' + b"1" * 5_000 + b"}",
        b'{"message": "\xff"}',
        b'{"message": "\\ud800"}',
        b'\xef\xbb\xbf{"message": "x"}',
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_not_json_is_undecodable(body: bytes) -> None:
    with pytest.raises(Undecodable):
        parse_chat(body)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, [""]),
        ([], [""]),
        (None, [""]),
        ({"message": "a", "messages": [{"role": "user", "content": "b"}]}, [""]),
        ({"message": ""}, ["/message"]),
        ({"message": 5}, ["/message"]),
        ({"message": "a", "temperature": 1}, ["/temperature"]),
        ({"message": "a", "a/b~c": 1}, ["/a~1b~0c"]),
        ({"message": "a", "stream": "yes"}, ["/stream"]),
        ({"messages": []}, ["/messages"]),
        ({"messages": [{"role": "system", "content": "x"}]}, ["/messages/0/role"]),
        ({"messages": [{"role": "user", "content": ""}]}, ["/messages/0/content"]),
        ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, ["/messages/0/name"]),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}, [""]),
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_a_wrong_shape_is_refused_with_its_place(value: object, expected: list[str]) -> None:
    assert pointers(value) == expected


def test_complaints_are_bounded() -> None:
    assert len(pointers({f"field{number}": 1 for number in range(100)})) == MAX_COMPLAINTS


def test_a_place_is_told_briefly() -> None:
    assert pointers({"x" * 10_000: 1}) == ["/" + "x" * (MAX_POINTER_LENGTH - 1)]


def test_no_complaint_quotes_what_was_sent() -> None:
    with pytest.raises(Unprocessable) as caught:
        parse({"message": [CANARY], "messages": CANARY, "stream": CANARY})

    assert CANARY not in json.dumps(caught.value.body("id"))


def test_of_a_key_that_is_given_twice_the_last_counts() -> None:
    assert parse_chat(b'{"message": "a", "message": "b"}').conversation == (Turn("user", "b"),)


@pytest.mark.parametrize(
    "text", ["\0", "\N{GRINNING FACE}", "[" * 100_000, "{,[" * 100_000, '",[{' * 100_000, "\\" * 100_000, "é" * 100_000]
)
def test_any_text_is_a_message(text: str) -> None:
    for body in (json.dumps({"message": text}), json.dumps({"message": text}, ensure_ascii=False)):
        assert parse_chat(body.encode()).conversation == (Turn("user", text),)
        assert parse_chat(bytearray(body.encode())).conversation == (Turn("user", text),)


def test_a_long_conversation_is_no_crowd() -> None:
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}] * 8_000

    assert len(parse({"messages": [*turns, turns[0]]}).conversation) == 16_001


@pytest.mark.parametrize("unit", [b"1,", b"[],", b"{},", b'"",', b'{"role":"user","content":"x"},'], ids=repr)
@pytest.mark.parametrize("start", [b'{"messages":[', b'{"message":[', b"["], ids=repr)
def test_a_crowd_of_values_is_refused_before_any_is_made(start: bytes, unit: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "_validate", None)

    with pytest.raises(Undecodable, match="values"):
        parse_chat(start + unit * 80_000 + b"1]}")


def test_what_is_faulty_throughout_is_not_told_fault_by_fault() -> None:
    assert pointers({f"field{number}": 1 for number in range(2_000)}) == [""]
    assert pointers({"messages": [1] * 20_000}) == ["/messages/0"]


KEYS = st.sampled_from([b'"message"', b'"messages"', b'"stream"', b'"role"', b'"content"']) | st.text(max_size=3).map(
    lambda text: json.dumps(text).encode()
)
ATOMS = st.sampled_from(
    [b"null", b"true", b"0", b"-0", b"1e999", b"NaN", b"1" * 5_000, b"[" * 300, b'""', b'"a"', b'"user"', b'"assistant"', b'"\\ud800"',
     b'"\\udc00\\ud800"', b'"\\ud83d\\ude00"', b'"\\u0000"', b'"\x00"', b'"\xff"', b'"\xed\xa0\x80"', b'"\xf0\x9f\x98\x80"', b"'a'", b""]
) | st.text(st.characters(exclude_categories=()), max_size=5).map(lambda text: json.dumps(text).encode())  # fmt: skip


def _list(parts: list[bytes]) -> bytes:
    return b"[" + b",".join(parts) + b"]"


def _object(pairs: list[tuple[bytes, bytes]]) -> bytes:
    return b"{" + b",".join(b":".join(pair) for pair in pairs) + b"}"


def _anything(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(st.tuples(KEYS, inner), max_size=4).map(_object) | st.lists(inner, max_size=4).map(_list)


MESSAGES = ATOMS.map(lambda atom: _object([(b'"role"', b'"user"'), (b'"content"', atom)]))
REQUESTS = (
    ATOMS.map(lambda atom: (b'"message"', atom)) | st.lists(MESSAGES, max_size=3).map(lambda parts: (b'"messages"', _list(parts)))
).map(lambda pair: _object([pair]))


@settings(max_examples=10_000 if os.environ.get("SOAK") else 600)
@given(REQUESTS | st.recursive(ATOMS, _anything, max_leaves=8) | st.binary(max_size=100))
def test_any_bytes_become_a_conversation_or_a_refusal_that_can_be_sent(body: bytes) -> None:
    refusal: Problem | None = None
    conversation: Conversation = ()
    try:
        conversation = parse_chat(body).conversation
    except (Undecodable, Unprocessable) as problem:
        refusal = problem

    if refusal is not None:
        assert orjson.dumps(refusal.body("id"))
    else:
        assert orjson.dumps([{"role": turn.role, "content": turn.content} for turn in conversation])
        assert all(turn.content for turn in conversation)
        assert conversation[-1].role == "user"


@pytest.mark.parametrize("content_type", [b"application/json", b"Application/JSON; charset=utf-8"])
def test_plain_json_is_the_one_media_type(content_type: bytes) -> None:
    check_media_type({b"content-type": content_type, b"content-encoding": b"Identity"})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"content-type": b"text/plain"},
        {b"content-type": b"application/jsonx"},
        {b"content-type": b"\xff"},
        {b"content-type": b"application/json", b"content-encoding": b"gzip"},
    ],
    ids=str,
)
def test_other_media_types_are_refused(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(UnsupportedMediaType):
        check_media_type(headers)
