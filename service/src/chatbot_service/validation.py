"""What a request's body says: decoded, and refused with the place of what is wrong. Nothing here quotes a body.

A few bytes of JSON can become a hundred times as many in memory, and each complaint costs more than what it is about: bodies of
more values than any conversation has are refused before they are decoded, and a list is given up at its first fault.
"""

import re
from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from chatbot_service.conversation import Conversation, Turn
from chatbot_service.errors import Undecodable, Unprocessable, UnsupportedMediaType

MAX_VALUES = 50_000
"""In one body: ten thousand messages and more, at most 20 MB while they are decoded."""
MAX_COMPLAINTS = 10
MAX_COUNTED_COMPLAINTS = 1_000
"""Beyond these none is shown: each costs a microsecond to write out, and only all of them can be."""
MAX_POINTER_LENGTH = 256

_BEFORE_VALUES = b",[{"
_PIECES = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{,]|[^"\[{,]++', re.DOTALL)
"""A string, what a value follows, or anything between; whatever the bytes, each piece is one step forward."""

_STRICT = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

Content = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, slots=True, config=_STRICT)
class Message(Turn):
    """One turn of `messages`."""

    role: Literal["user", "assistant"]
    content: Content


class ChatRequest(BaseModel):
    """The body of POST /api/chat: a `message`, or the `messages` so far, the last of them the user's."""

    model_config = _STRICT

    message: Content | None = None
    messages: Annotated[list[Message], Field(min_length=1, fail_fast=True)] | None = None
    stream: bool = False

    @property
    def complaint(self) -> str | None:
        """Return what is wrong with it though each of its fields is right."""
        if (self.message is None) == (self.messages is None):
            return "exactly one of message and messages is needed"
        if self.messages and self.messages[-1].role != "user":
            return "the last of messages must have the role user"
        return None

    @property
    def conversation(self) -> Conversation:
        """Return the turns, whichever way they were given."""
        return tuple(self.messages) if self.messages is not None else (Turn("user", self.message or ""),)


_validate = ChatRequest.__pydantic_validator__.validate_json
"""`model_validate_json` without what it does for its options, which costs every request a microsecond."""


def parse_chat(body: bytes | bytearray) -> ChatRequest:
    """Return the request in `body`; raises Undecodable for what is not JSON or too much of it, Unprocessable for no chat request."""
    if len(body) > MAX_VALUES and _is_crowded(body):
        raise Undecodable(f"The body holds more than {MAX_VALUES} values.")
    try:
        request: ChatRequest = _validate(body)
    except ValidationError as error:
        if error.error_count() > MAX_COUNTED_COMPLAINTS:
            raise Unprocessable([("", f"more than {MAX_COUNTED_COMPLAINTS} faults")]) from None
        complaints = error.errors(include_url=False, include_context=False, include_input=False)
    else:
        if request.complaint:
            raise Unprocessable([("", request.complaint)])
        return request
    if complaints[0]["type"] == "json_invalid":
        raise Undecodable("The body is not JSON.")
    raise Unprocessable([(_pointer(item["loc"]), item["msg"]) for item in complaints[:MAX_COMPLAINTS]])


def check_media_type(headers: Mapping[bytes, bytes]) -> None:
    """Raise UnsupportedMediaType unless the body is announced as plain JSON."""
    media_type = headers.get(b"content-type", b"")
    if media_type != b"application/json" and media_type.partition(b";")[0].strip().lower() != b"application/json":
        raise UnsupportedMediaType("Send the body as application/json.")
    coding = headers.get(b"content-encoding")
    if coding is not None and coding.lower() != b"identity":
        raise UnsupportedMediaType("Send the body without a content-encoding.")


def _is_crowded(body: bytes | bytearray) -> bool:
    """Whether `body` holds more than about MAX_VALUES values. Text may well hold as many commas: what is within strings does not count."""
    if sum(body.count(mark) for mark in _BEFORE_VALUES) <= MAX_VALUES:
        return False
    return next(islice(_PIECES.finditer(body), 3 * MAX_VALUES, None), None) is not None


def _pointer(location: tuple[int | str, ...]) -> str:
    """Return the JSON pointer (RFC 6901) of `location`."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in location)[:MAX_POINTER_LENGTH]
