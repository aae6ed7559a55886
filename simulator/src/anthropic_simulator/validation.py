"""Checks the bodies of POST requests as the API of version 2026-10-21 does, in its words: the first complaint is the answer."""

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from anthropic_simulator.errors import InvalidRequest
from anthropic_simulator.models import Model
from anthropic_simulator.request import CountTokensRequest, MessagesRequest, TextBlock, Turn

# Tags that pydantic puts into the path of a union and that are no part of the field's path.
_TAGS = frozenset({"as_text", "as_blocks"})
# What pydantic says otherwise of JSON.
_WORDING = {"list_type": "Input should be a valid list", "dict_type": "Input should be a valid dictionary"}

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


def _complaint(detail: Any) -> str:
    if detail["type"] == "json_invalid":
        return f"The request body is not valid JSON: {detail['ctx']['error']}"
    where = ".".join(str(part) for part in detail["loc"] if part not in _TAGS)
    message = _WORDING.get(detail["type"], detail["msg"])
    return f"{where}: {message}" if where else f"The request body is not valid: {message}"
