"""What POST /v1/messages and /v1/messages/count_tokens take, checked as the API of version 2026-10-21 does, in its words.

Fields that the version no longer knows (temperature, top_p, top_k) are refused like any other unknown one.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag, ValidationError

from anthropic_simulator.errors import InvalidRequest
from anthropic_simulator.models import Model

_STRICT = ConfigDict(strict=True, frozen=True, extra="forbid")
# Tags that pydantic puts into the path of a union and that are no part of the field's path.
_TAGS = frozenset({"as_text", "as_blocks"})
# What pydantic says otherwise of JSON.
_WORDING = {"list_type": "Input should be a valid list", "dict_type": "Input should be a valid dictionary"}
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


Request = TypeVar("Request", bound=CountTokensRequest)


def parse_request(kind: type[Request], body: bytes) -> Request:
    """Return the body as a request whose shape and conversation are right; raises InvalidRequest with the first complaint."""
    try:
        request = kind.model_validate_json(body)
    except ValidationError as error:
        raise InvalidRequest(_complaint(error.errors(include_url=False)[0])) from error
    _check_conversation(request.messages)
    _check_tool_choice(request)
    return request


def check_limits(request: MessagesRequest, model: Model) -> None:
    """Raise InvalidRequest where the request asks for more than the model has, or thinks beyond its own limit."""
    if request.max_tokens > model.max_tokens:
        raise InvalidRequest(
            f"max_tokens: {request.max_tokens} > {model.max_tokens}, which is the maximum allowed number of output tokens for {model.id}",
        )
    thinking = request.thinking
    if thinking is None or thinking.type != "enabled":
        return
    if thinking.budget_tokens is None:
        raise InvalidRequest("thinking.enabled.budget_tokens: Field required")
    if thinking.budget_tokens >= request.max_tokens:
        raise InvalidRequest("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if request.tool_choice is not None and request.tool_choice.type in ("any", "tool"):
        raise InvalidRequest("Thinking may not be enabled when tool_choice forces tool use.")


def _check_conversation(turns: Sequence[Turn]) -> None:
    if not turns:
        raise InvalidRequest("messages: at least one message is required")
    for number, turn in enumerate(turns):
        _check_turn(number, turn)
    if turns[0].role != "user":
        raise InvalidRequest('messages: first message must use the "user" role')
    if turns[-1].role == "assistant":
        raise InvalidRequest("This model does not support assistant message prefill. The conversation must end with a user message.")


def _check_turn(number: int, turn: Turn) -> None:
    if turn.role not in ("user", "assistant", "system"):
        raise InvalidRequest(f"messages.{number}.role: Input should be 'user', 'assistant' or 'system'")
    if not turn.content:
        raise InvalidRequest(f"messages.{number}: all messages must have non-empty content except for the optional final assistant message")
    texts = [turn.content] if isinstance(turn.content, str) else [block.text for block in turn.content if isinstance(block, TextBlock)]
    if not all(texts):
        raise InvalidRequest("messages: text content blocks must be non-empty")
    if not all(text.strip() for text in texts):
        raise InvalidRequest("messages: text content blocks must contain non-whitespace text")


def _check_tool_choice(request: CountTokensRequest) -> None:
    choice = request.tool_choice
    if choice is None:
        return
    if not request.tools:
        raise InvalidRequest("tool_choice: may only be specified while providing tools")
    if choice.type != "tool":
        return
    if choice.name is None:
        raise InvalidRequest("tool_choice.tool.name: Field required")
    if choice.name not in {tool.name for tool in request.tools}:
        raise InvalidRequest(f"Tool '{choice.name}' not found in provided tools")


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


def _complaint(detail: Any) -> str:
    if detail["type"] == "json_invalid":
        return f"The request body is not valid JSON: {detail['ctx']['error']}"
    where = ".".join(str(part) for part in detail["loc"] if part not in _TAGS)
    message = _WORDING.get(detail["type"], detail["msg"])
    return f"{where}: {message}" if where else f"The request body is not valid: {message}"
