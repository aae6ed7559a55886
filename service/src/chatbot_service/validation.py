"""Request bodies: read within bounds, decoded, and refused with the place of what is wrong. Nothing here quotes a body."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from starlette.datastructures import Headers
from starlette.types import Receive

from chatbot_service.conversation import Conversation, Turn
from chatbot_service.errors import BodyTooLarge, ClientLeft, Undecodable, Unprocessable, UnsupportedMediaType

MAX_COMPLAINTS = 10
MAX_POINTER_LENGTH = 256

Content = Annotated[str, Field(min_length=1)]


class Message(BaseModel):
    """One turn of `messages`."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    role: Literal["user", "assistant"]
    content: Content


class ChatRequest(BaseModel):
    """The body of POST /api/chat: a `message`, or the `messages` so far, the last of them the user's."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    message: Content | None = None
    messages: Annotated[list[Message], Field(min_length=1)] | None = None
    stream: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> "ChatRequest":
        if (self.message is None) == (self.messages is None):
            raise PydanticCustomError("one_of", "exactly one of message and messages is needed")
        if self.messages and self.messages[-1].role != "user":
            raise PydanticCustomError("last_role", "the last of messages must have the role user")
        return self

    @property
    def conversation(self) -> Conversation:
        """Return the turns, whichever way they were given."""
        if self.messages is None:
            return (Turn("user", self.message or ""),)
        return tuple(Turn(message.role, message.content) for message in self.messages)


def parse_chat(body: bytes) -> ChatRequest:
    """Return the request in `body`; raises Undecodable for what is not JSON, Unprocessable for what is not a chat request."""
    try:
        return ChatRequest.model_validate_json(body)
    except ValidationError as error:
        complaints = error.errors(include_url=False, include_context=False, include_input=False)
    if complaints[0]["type"] == "json_invalid":
        raise Undecodable("The body is not JSON.")
    raise Unprocessable([(_pointer(item["loc"]), item["msg"]) for item in complaints[:MAX_COMPLAINTS]])


def check_media_type(headers: Headers) -> None:
    """Raise UnsupportedMediaType unless the body is announced as plain JSON."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType("Send the body as application/json.")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body without a content encoding.")


async def read_body(headers: Headers, receive: Receive, *, limit_bytes: int) -> bytes:
    """Return the whole body; raises BodyTooLarge as soon as it is known to exceed the limit."""
    announced = headers.get("content-length", "0")
    if announced.isdecimal() and int(announced[:20]) > limit_bytes:
        raise BodyTooLarge(f"The body exceeds {limit_bytes} bytes.")
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit_bytes:
            raise BodyTooLarge(f"The body exceeds {limit_bytes} bytes.")
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _pointer(location: tuple[int | str, ...]) -> str:
    """Return the JSON pointer (RFC 6901) of `location`."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in location)[:MAX_POINTER_LENGTH]
