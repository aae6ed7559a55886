"""What the API refuses, with the status, the type and the words that it uses."""

from typing import Any

import anthropic
import httpx2
import pytest
from anthropic import AsyncAnthropic

from tests.conftest import Simulator

HEADERS = {"x-api-key": "demo", "anthropic-version": "2026-10-21"}
HELLO = {"role": "user", "content": "Hello"}


def turns(*contents: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content} for content in contents]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": None}, "model: Input should be a valid string"),
        ({"max_tokens": ...}, "max_tokens: Field required"),
        ({"messages": ...}, "messages: Field required"),
        ({"model": ...}, "model: Field required"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
        ({"max_tokens": "100"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": 1.5}, "max_tokens: Input should be a valid integer"),
        (
            {"max_tokens": 128_001},
            "max_tokens: 128001 > 128000, which is the maximum allowed number of output tokens for claude-sonnet-5-5",
        ),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": "Hello"}, "messages: Input should be a valid list"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({"messages": [HELLO, {"role": "bot", "content": "x"}]}, "messages.1.role: Input should be 'user', 'assistant' or 'system'"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 'messages: first message must use the "user" role'),
        ({"messages": [HELLO, {"role": "assistant", "content": "x"}]}, "This model does not support assistant message prefill"),
        (turns(""), "messages.0: all messages must have non-empty content"),
        (turns([]), "messages.0: all messages must have non-empty content"),
        (turns("  \n"), "messages: text content blocks must contain non-whitespace text"),
        (turns([{"type": "text", "text": ""}]), "messages: text content blocks must be non-empty"),
        (turns([{"type": "text"}]), "messages.0.content.0.text.text: Field required"),
        (turns([{"type": "video"}]), "messages.0.content.0: Input should be a content block of a known type"),
        (turns([7]), "messages.0.content.0: Input should be a content block of a known type"),
        (turns(7), "messages.0.content: Input should be a valid list"),
        ({"temperature": 1.0}, "temperature: Extra inputs are not permitted"),
        ({"top_p": 0.9}, "top_p: Extra inputs are not permitted"),
        ({"top_k": 5}, "top_k: Extra inputs are not permitted"),
        ({"stream": "yes"}, "stream: Input should be a valid boolean"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.name: Field required"),
        ({"tools": [{"name": "a b", "input_schema": {}}]}, "tools.0.name: String should match pattern"),
        ({"tool_choice": {"type": "any"}}, "tool_choice: may only be specified while providing tools"),
        (
            {"tools": [{"name": "a", "input_schema": {}}], "tool_choice": {"type": "tool", "name": "b"}},
            "Tool 'b' not found in provided tools",
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 10}}, "thinking.budget_tokens: Input should be greater than or equal to 1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "`max_tokens` must be greater than `thinking.budget_tokens`."),
        ({"output_config": {"effort": "huge"}}, "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'"),
    ],
)
async def test_wrong_field_is_refused_by_name(
    client: AsyncAnthropic, question: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    body = {key: value for key, value in (question | change).items() if value is not ...}

    with pytest.raises(anthropic.BadRequestError) as refused:
        await client.post("/v1/messages", body=body, cast_to=object)

    assert refused.value.type == "invalid_request_error"
    assert refused.value.api_message is not None
    assert refused.value.api_message.startswith(message)


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b'"x"', b"[" * 200_000, b"\xff\xfe", b'{"model": "\\ud800"}', b"1" * 5000])
def test_undecodable_body_is_a_400(simulator: Simulator, body: bytes) -> None:
    answer = httpx2.post(f"{simulator.url}/v1/messages", content=body, headers=HEADERS, trust_env=False, verify=False)

    assert answer.status_code == 400
    error = answer.json()
    assert error["type"] == "error"
    assert error["error"]["type"] == "invalid_request_error"
    assert error["error"]["message"].startswith("The request body is not valid")
    assert error["request_id"] == answer.headers["request-id"]
    assert answer.headers["x-should-retry"] == "false"


async def test_count_tokens_validates_too(client: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="at least one message is required"):
        await client.messages.count_tokens(model="claude-sonnet-5-5", messages=[])


@pytest.mark.parametrize("model", ["claude-unheard-of", "claude-3-5-sonnet-20241022"])
@pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")  # the SDK warns before it asks
async def test_unknown_and_retired_models_are_not_found(client: AsyncAnthropic, question: dict[str, Any], model: str) -> None:
    with pytest.raises(anthropic.NotFoundError) as refused:
        await client.messages.create(**question | {"model": model})

    assert refused.value.type == "not_found_error"
    assert refused.value.api_message == f"model: {model}"


@pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")  # the SDK warns before it asks
async def test_deprecated_model_still_answers(client: AsyncAnthropic, question: dict[str, Any]) -> None:
    message = await client.messages.create(**question | {"model": "claude-sonnet-4-5"})

    assert message.model == "claude-sonnet-4-5"
