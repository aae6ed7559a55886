import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_service.conversation import Turn
from chatbot_service.errors import Undecodable, Unprocessable, UnsupportedMediaType
from chatbot_service.validation import MAX_COMPLAINTS, check_media_type, parse_chat

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


def test_no_complaint_quotes_what_was_sent() -> None:
    with pytest.raises(Unprocessable) as caught:
        parse({"message": [CANARY], "messages": CANARY, "stream": CANARY})

    assert CANARY not in json.dumps(caught.value.body("id"))


@given(
    st.binary(max_size=300)
    | st.recursive(st.none() | st.booleans() | st.text() | st.integers(), st.lists).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_are_accepted_or_refused_but_never_fail(body: bytes) -> None:
    with suppress(Undecodable, Unprocessable):
        parse_chat(body)


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
