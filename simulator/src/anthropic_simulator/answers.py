"""What the simulator says: content blocks derived from the request alone, so that the same request gets the same bytes.

Two questions get two answers. An answer is markdown with lists and code; it repeats what came through (the question, the number of the
turn, the beginning of the system prompt), so that a test can see that it did.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from anthropic_simulator.request import CountTokensRequest, MessagesRequest, Tool
from anthropic_simulator.tool_inputs import derive_tool_input

CHARACTERS_PER_TOKEN = 4
QUOTED_CHARACTERS = 200
StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]
_ADJECTIVES = ("small", "plain", "steady", "careful", "patient", "close", "quick", "sturdy")
_VERBS = ("Write down", "Measure", "Compare", "Name", "Sketch", "Test", "Simplify", "Review")
_NOUNS = ("the goal", "one example", "the limits", "both ends", "the first step", "a counter-example", "the cost", "the result")
_WORD = re.compile(r"[^\W_]{3,24}")


@dataclass(frozen=True)
class TextPart:
    """A text block."""

    text: str


@dataclass(frozen=True)
class ThinkingPart:
    """A thinking block; an empty text with a signature is what `display: omitted` asks for."""

    thinking: str
    signature: str


@dataclass(frozen=True)
class ToolUsePart:
    """A call of one of the caller's tools."""

    id: str
    name: str
    input: dict[str, JsonValue]


Part = TextPart | ThinkingPart | ToolUsePart


@dataclass(frozen=True)
class Answer:
    """A whole answer, before it is put on the wire."""

    id: str
    model: str
    parts: tuple[Part, ...]
    stop_reason: StopReason
    stop_sequence: str | None
    input_tokens: int
    output_tokens: int
    thinking_tokens: int


def derive_id(prefix: str, *sources: bytes) -> str:
    """Return an id in the form of the API's, the same for the same sources."""
    digest = hashlib.blake2b(digest_size=16)
    for source in sources:
        digest.update(len(source).to_bytes(8, "big"))
        digest.update(source)
    return f"{prefix}_01{base64.b32encode(digest.digest()).decode('ascii')[:22]}"


def count_tokens(*texts: str) -> int:
    """Return about how many tokens the texts are: four characters each, a part counts as one."""
    return sum(-(-len(text) // CHARACTERS_PER_TOKEN) for text in texts)


def count_input_tokens(request: CountTokensRequest) -> int:
    """Return the size of the whole prompt; each turn and each tool costs a few tokens of its own."""
    texts = [request.system_text, *(turn.text for turn in request.messages), *(tool.model_dump_json() for tool in request.tools)]
    return count_tokens(*texts) + 4 * (len(request.messages) + len(request.tools))


def derive_answer(request: MessagesRequest, *, body: bytes, events: int | None) -> Answer:
    """Return the answer to a request; `body` seeds the ids.

    With `events` the text is long enough for that many deltas, and `max_tokens` and stop sequences do not shorten it.
    """
    thinking = _derive_thinking(request)
    tool = _chosen_tool(request)
    parts: list[Part] = [thinking] if thinking else []
    stop_reason: StopReason = "end_turn"
    stop_sequence = None
    if tool is not None:
        if not _is_forced(request):
            parts.append(TextPart(f"I will look that up with `{tool.name}`."))
        parts.append(
            ToolUsePart(
                id=derive_id("toolu", body), name=tool.name, input=derive_tool_input(tool.input_schema or {}, text=_quote(request.question))
            )
        )
        stop_reason = "tool_use"
    else:
        text = _derive_text(request)
        if events is None:
            text, stop_reason, stop_sequence = _shorten(text, request, spent=_thinking_tokens(thinking))
        else:
            text *= -(-events // len(text))
        parts.append(TextPart(text))
    return Answer(
        id=derive_id("msg", body),
        model=request.model,
        parts=tuple(parts),
        stop_reason=stop_reason,
        stop_sequence=stop_sequence,
        input_tokens=count_input_tokens(request),
        output_tokens=max(1, sum(_part_tokens(part) for part in parts)),
        thinking_tokens=_thinking_tokens(thinking),
    )


def _derive_text(request: MessagesRequest) -> str:
    question = _quote(request.question)
    seed = hashlib.blake2b(request.question.encode("utf-8"), digest_size=16).digest()
    words = _WORD.findall(request.question[:2000]) or ["nothing"]
    topic = max(words, key=len).lower()
    turn_number = sum(turn.role == "user" for turn in request.messages)
    lines = [
        f"**You asked:** {question}",
        "",
        f"This is answer {seed.hex()[:8]}, turn {turn_number} of our conversation. In short, about *{topic}*:",
        "",
        *(f"- **{words[byte % len(words)]}** wants a {_ADJECTIVES[byte % 8]} look" for byte in seed[:3]),
        "",
        "Step by step:",
        "",
        *(f"{number}. {_VERBS[byte % 8]} {_NOUNS[byte // 8 % 8]}." for number, byte in enumerate(seed[3:6], 1)),
        "",
        "```python",
        f"def about_{topic}(times: int = {seed[6] % 9 + 1}) -> list[str]:",
        f'    """Return `{topic}` as often as asked."""',
        f'    return ["{topic}"] * times',
        "```",
        "",
    ]
    if request.system_text:
        lines += [f"> My instructions begin with: {_quote(request.system_text)}", ""]
    lines.append("*Made by anthropic-simulator: no model was asked.*")
    return "\n".join(lines)


def _quote(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= QUOTED_CHARACTERS else flat[: QUOTED_CHARACTERS - 1] + "…"


def _shorten(text: str, request: MessagesRequest, *, spent: int) -> tuple[str, StopReason, str | None]:
    """Return the text up to the first stop sequence or the last token that `max_tokens` leaves, whichever comes first."""
    found = [(text.find(stop), stop) for stop in request.stop_sequences if stop and stop in text]
    end = max(1, request.max_tokens - spent) * CHARACTERS_PER_TOKEN
    if found and min(found)[0] <= end:
        position, stop = min(found)
        return text[:position], "stop_sequence", stop
    return (text[:end], "max_tokens", None) if end < len(text) else (text, "end_turn", None)


def _derive_thinking(request: MessagesRequest) -> ThinkingPart | None:
    thinking = request.thinking
    if thinking is None or thinking.type in ("disabled", "between_tools"):
        return None
    signature = base64.b64encode(hashlib.blake2b(request.question.encode("utf-8"), digest_size=48).digest()).decode("ascii")
    text = f"The question is: {_quote(request.question)} I will answer with a list, some steps and a little code."
    return ThinkingPart(thinking="" if thinking.display == "omitted" else text, signature=signature)


def _thinking_tokens(part: ThinkingPart | None) -> int:
    return 0 if part is None else count_tokens(part.thinking) + 2


def _part_tokens(part: Part) -> int:
    if isinstance(part, TextPart):
        return count_tokens(part.text)
    if isinstance(part, ThinkingPart):
        return _thinking_tokens(part)
    return count_tokens(part.name, str(part.input)) + 8


def _is_forced(request: MessagesRequest) -> bool:
    return request.tool_choice is not None and request.tool_choice.type in ("any", "tool")


def _chosen_tool(request: MessagesRequest) -> Tool | None:
    """Return the tool to call: the named one, else the first, unless a tool has just answered or none may be called."""
    callable_ = [tool for tool in request.tools if tool.input_schema is not None]
    choice = request.tool_choice
    if not callable_ or (choice is not None and choice.type == "none"):
        return None
    if choice is not None and choice.type == "tool":
        return next((tool for tool in callable_ if tool.name == choice.name), None)
    if not _is_forced(request) and request.last_user_turn.has_tool_result:
        return None
    return callable_[0]
