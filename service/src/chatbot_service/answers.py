"""What the model's API says when all is well, read into our values. Pure: what cannot be read raises UpstreamGarbage."""

from datetime import datetime
from typing import Any

import orjson

from chatbot_service.conversation import Answer, Delta, Event, Finished, Started, Usage
from chatbot_service.errors import UpstreamGarbage, UpstreamProblem
from chatbot_service.failures import problem_of, status_of
from chatbot_service.readiness import LIFECYCLES
from chatbot_service.sse import EventParser

MAX_TOKENS = 2**53
"""What JSON can carry to anybody."""

_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)
"""What reading an answer of another shape raises."""


def read_answer(content: bytes) -> Answer:
    """Return an answer that came in one piece."""
    try:
        message = orjson.loads(content)
        return Answer(
            id=_text(message["id"]),
            model=_text(message["model"]),
            text="".join(block["text"] for block in message["content"] if block["type"] == "text"),
            stop_reason=_text_or_none(message["stop_reason"]),
            usage=Usage(_tokens(message["usage"]["input_tokens"]), _tokens(message["usage"]["output_tokens"])),
        )
    except _UNREADABLE as error:
        raise _unreadable() from error


def read_model(content: bytes) -> tuple[str | None, str | None]:
    """Return a model's lifecycle and when it retires, as far as they are known."""
    try:
        model = orjson.loads(content)
        _text(model["id"])
        lifecycle, retires_at = _text_or_none(model.get("lifecycle")), _text_or_none(model.get("retires_at"))
        return lifecycle if lifecycle in LIFECYCLES else None, datetime.fromisoformat(retires_at).isoformat() if retires_at else None
    except _UNREADABLE as error:
        raise _unreadable() from error


class StreamedAnswer:
    """Turns the bytes of a streamed answer into events; `problem` is what came after the last of them instead of another."""

    __slots__ = ("_begun", "_input_tokens", "_output_tokens", "_parser", "_stop_reason", "finished", "problem")

    def __init__(self) -> None:
        self._parser = EventParser()
        self._begun = False
        self._input_tokens = 0
        self._output_tokens = 0
        self._stop_reason: str | None = None
        self.finished = False
        self.problem: UpstreamProblem | None = None

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes; raises UpstreamProblem if one of them, being the first, is an error or none."""
        events: list[Event] = []
        try:
            self._collect(data, events)
        except UpstreamProblem as problem:
            self.problem = problem
        except _UNREADABLE as error:
            self.problem = _unreadable()
            self.problem.__cause__ = error
        if self.problem is not None and not events:
            raise self.problem
        return events

    def _collect(self, data: bytes, events: list[Event]) -> None:
        """Append the events that `data` completes, up to the last of the answer."""
        for content in self._parser.feed(data):
            event = self._event(content)
            if event is not None:
                events.append(event)
            if self.finished:
                return

    def _event(self, data: dict[str, Any]) -> Event | None:
        match data["type"]:
            case "content_block_delta" if data["delta"]["type"] == "text_delta":
                return Delta(_text(data["delta"]["text"]))
            case "message_start":
                message = data["message"]
                self._count(message["usage"])
                self._begun = True
                return Started(_text(message["id"]), _text(message["model"]))
            case "message_delta":
                self._stop_reason = _text_or_none(data["delta"].get("stop_reason"))
                self._count(data.get("usage") or {})
            case "message_stop":
                if not self._begun:
                    raise ValueError("an answer ends that has not begun")
                self.finished = True
                return Finished(self._stop_reason, Usage(self._input_tokens, self._output_tokens))
            case "error":
                raise problem_of(status_of(data), body=data)
        return None

    def _count(self, usage: dict[str, Any]) -> None:
        """Usage is cumulative; a field that is missing keeps its last value."""
        self._input_tokens = _tokens(usage.get("input_tokens") or self._input_tokens)
        self._output_tokens = _tokens(usage.get("output_tokens") or self._output_tokens)


def _unreadable() -> UpstreamGarbage:
    return UpstreamGarbage("The answer of the model's API cannot be read.")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is expected")
    return value


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _tokens(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < MAX_TOKENS:
        raise TypeError("a number of tokens is expected")
    return value
