"""The bodies of POST /v1/messages and /v1/messages/count_tokens as frozen models: their shape, and what they say as text.

A field that the version 2026-10-21 does not know (temperature, top_p, top_k) is unknown here as well.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag

_STRICT = ConfigDict(strict=True, frozen=True, extra="forbid")
_OTHER_BLOCKS = ("image", "document", "search_result", "tool_use", "thinking", "redacted_thinking", "server_tool_use", "container_upload")


def _shape(value: object) -> str:
    return "as_text" if isinstance(value, str) else "as_blocks"


class TextBlock(BaseModel):
    """A text of the prompt."""

    model_config = _STRICT

    type: Literal["text"]
    text: str
    citations: JsonValue = None
    cache_control: JsonValue = None


class ToolResultBlock(BaseModel):
    """What a tool answered."""

    model_config = _STRICT

    type: Literal["tool_result"]
    tool_use_id: str = Field(min_length=1)
    content: JsonValue = None
    is_error: bool | None = None
    cache_control: JsonValue = None


class OtherBlock(BaseModel):
    """A block that is taken but not read."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str


def _block_kind(value: object) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    if kind in ("text", "tool_result"):
        return str(kind)
    known = isinstance(kind, str) and (kind in _OTHER_BLOCKS or kind.endswith("_tool_result"))
    return "other" if known else None


Block = Annotated[
    Annotated[TextBlock, Tag("text")] | Annotated[ToolResultBlock, Tag("tool_result")] | Annotated[OtherBlock, Tag("other")],
    Discriminator(_block_kind, custom_error_type="block", custom_error_message="Input should be a content block of a known type"),
]
Content = Annotated[Annotated[str, Tag("as_text")] | Annotated[list[Block], Tag("as_blocks")], Discriminator(_shape)]
SystemPrompt = Annotated[Annotated[str, Tag("as_text")] | Annotated[list[TextBlock], Tag("as_blocks")], Discriminator(_shape)]


class Turn(BaseModel):
    """One message of the conversation."""

    model_config = _STRICT

    role: str
    content: Content

    @property
    def text(self) -> str:
        """Return every text of the turn, tool results included."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(_block_text(block) for block in self.content)

    @property
    def has_tool_result(self) -> bool:
        """Return whether a tool answers in this turn."""
        return not isinstance(self.content, str) and any(isinstance(block, ToolResultBlock) for block in self.content)


class Tool(BaseModel):
    """A tool on offer; one without an `input_schema` runs on the server and is never called here."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    name: str = Field(min_length=1, max_length=128, pattern=r"^[a-zA-Z0-9_-]+$")
    type: str | None = None
    input_schema: dict[str, JsonValue] | None = None


class ToolChoice(BaseModel):
    """Whether and which tool is called."""

    model_config = _STRICT

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(BaseModel):
    """Whether a thinking block comes first, and whether it can be read."""

    model_config = _STRICT

    type: Literal["enabled", "adaptive", "disabled", "between_tools"]
    budget_tokens: int | None = Field(default=None, ge=1024)
    display: Literal["summarized", "omitted"] | None = None


class OutputConfig(BaseModel):
    """How much effort, and in which format; taken, but the answer stays the same."""

    model_config = _STRICT

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: JsonValue = None


class CountTokensRequest(BaseModel):
    """The body of POST /v1/messages/count_tokens."""

    model_config = _STRICT

    model: str = Field(min_length=1, max_length=256)
    messages: list[Turn] = Field(max_length=100_000)
    system: SystemPrompt | None = None
    tools: list[Tool] = []
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    cache_control: JsonValue = None
    speed: Literal["standard", "fast"] | None = None

    @property
    def last_user_turn(self) -> Turn:
        """Return the turn to answer."""
        return next(turn for turn in reversed(self.messages) if turn.role == "user")

    @property
    def question(self) -> str:
        """Return what the turn to answer says."""
        return self.last_user_turn.text

    @property
    def system_text(self) -> str:
        """Return the system prompt, empty without one; system messages within the conversation are no part of it."""
        if self.system is None or isinstance(self.system, str):
            return self.system or ""
        return "\n".join(block.text for block in self.system)


class MessagesRequest(CountTokensRequest):
    """The body of POST /v1/messages."""

    max_tokens: int = Field(ge=1)
    stream: bool = False
    stop_sequences: list[str] = []
    metadata: dict[str, JsonValue] | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    container: JsonValue = None
    diagnostics: JsonValue = None
    inference_geo: str | None = None


def _block_text(block: TextBlock | ToolResultBlock | OtherBlock) -> str:
    if isinstance(block, TextBlock):
        return block.text
    if isinstance(block, ToolResultBlock):
        return _tool_result_text(block.content)
    return f"[{block.type}]"


def _tool_result_text(content: JsonValue) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(str(part["text"]) for part in content if isinstance(part, dict) and part.get("type") == "text")
