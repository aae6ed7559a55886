"""What is asked and what is answered, as plain values that neither the web layer nor the SDK owns."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: Literal["user", "assistant"]
    content: str


Conversation = tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that an answer cost."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    id: str
    model: str
    text: str
    stop_reason: str | None
    usage: Usage


@dataclass(frozen=True, slots=True)
class Started:
    """A streamed answer begins."""

    id: str
    model: str


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of a streamed answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A streamed answer is whole."""

    stop_reason: str | None
    usage: Usage


Event = Started | Delta | Finished
