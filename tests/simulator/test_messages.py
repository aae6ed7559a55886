"""Every shape of an answer, read by the real SDK over a real socket."""

from typing import Any

import pytest
from anthropic import AsyncAnthropic
from anthropic.types import TextBlock, ThinkingBlock, ToolUseBlock

WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}, "unit": {"enum": ["celsius", "kelvin"]}},
        "required": ["city"],
    },
}
CLOCK: Any = {"name": "get_time", "input_schema": {"type": "object", "properties": {}}}


async def read_events(client: AsyncAnthropic, arguments: dict[str, Any]) -> list[Any]:
    async with await client.messages.create(**arguments, stream=True) as stream:
        return [event async for event in stream]


async def test_answer_is_markdown_with_lists_and_code(client: AsyncAnthropic, question: dict[str, Any]) -> None:
    message = await client.messages.create(**question)

    assert message.type == "message"
    assert message.role == "assistant"
    assert message.model == "claude-sonnet-5-5"
    assert message.stop_reason == "end_turn"
    assert message.id.startswith("msg_01")
    [block] = message.content
    assert isinstance(block, TextBlock)
    assert "How do I scale a deployment?" in block.text
    assert "\n- " in block.text
    assert "\n1. " in block.text
    assert "```python\n" in block.text


async def test_same_request_gets_the_same_bytes(client: AsyncAnthropic, question: dict[str, Any]) -> None:
    first = await client.messages.with_raw_response.create(**question)
    second = await client.messages.with_raw_response.create(**question)

    assert await first.read() == await second.read()
    assert first.headers["request-id"] == second.headers["request-id"]


async def test_two_questions_get_two_answers(client: AsyncAnthropic, question: dict[str, Any]) -> None:
    other = question | {"messages": [{"role": "user", "content": "How do I scale a stateful set?"}]}

    first = await client.messages.create(**question)
    second = await client.messages.create(**other)

    assert first.content != second.content
    assert first.id != second.id


async def test_answer_shows_the_system_prompt_and_the_turn_that_came_through(client: AsyncAnthropic) -> None:
    message = await client.messages.create(
        model="claude-haiku-5-5",
        max_tokens=1024,
        system=[{"type": "text", "text": "Speak like a sailor."}],
        messages=[
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Ahoy"},
            {"role": "user", "content": [{"type": "text", "text": "And now?"}]},
        ],
    )

    [block] = message.content
    assert isinstance(block, TextBlock)
    assert "My instructions begin with: Speak like a sailor." in block.text
    assert "turn 2 of our conversation" in block.text


async def test_stream_has_the_events_in_order_and_the_text_of_the_json_answer(client: AsyncAnthropic, question: dict[str, Any]) -> None:
    whole = await client.messages.create(**question)

    events = await read_events(client, question)

    kinds = [event.type for event in events]
    deltas = [event.delta.text for event in events if event.type == "content_block_delta"]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[2:-3] == ["content_block_delta"] * len(deltas)
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert len(deltas) > 10
    assert isinstance(whole.content[0], TextBlock)
    assert "".join(deltas) == whole.content[0].text
    assert events[0].message.stop_reason is None
    assert events[0].message.content == []
    assert events[-2].delta.stop_reason == "end_turn"
    assert events[-2].usage.output_tokens == whole.usage.output_tokens


async def test_stream_pings_after_its_first_block_starts(client: AsyncAnthropic, question: dict[str, Any]) -> None:
    response = await client.messages.with_raw_response.create(**question, extra_body={"stream": True})

    names = [line for line in (await response.text()).splitlines() if line.startswith("event: ")]

    assert response.headers["content-type"].startswith("text/event-stream")
    assert names[:4] == ["event: message_start", "event: content_block_start", "event: ping", "event: content_block_delta"]


async def test_streaming_manager_of_the_sdk_accumulates_the_message(client: AsyncAnthropic, question: dict[str, Any]) -> None:
    whole = await client.messages.create(**question)

    async with client.messages.stream(**question) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()

    assert isinstance(whole.content[0], TextBlock)
    assert text == whole.content[0].text
    assert final.usage.output_tokens == whole.usage.output_tokens


@pytest.mark.parametrize(
    ("choice", "kinds", "name"),
    [
        (None, ["text", "tool_use"], "get_weather"),
        ({"type": "auto"}, ["text", "tool_use"], "get_weather"),
        ({"type": "any"}, ["tool_use"], "get_weather"),
        ({"type": "tool", "name": "get_time"}, ["tool_use"], "get_time"),
    ],
)
async def test_tool_is_called_as_the_choice_says(
    client: AsyncAnthropic, question: dict[str, Any], choice: dict[str, str] | None, kinds: list[str], name: str
) -> None:
    arguments = question | {"tools": [WEATHER, CLOCK]} | ({"tool_choice": choice} if choice else {})

    message = await client.messages.create(**arguments)

    assert [block.type for block in message.content] == kinds
    assert message.stop_reason == "tool_use"
    tool_use = message.content[-1]
    assert isinstance(tool_use, ToolUseBlock)
    assert tool_use.name == name
    assert tool_use.id.startswith("toolu_01")


async def test_tool_input_fits_the_schema_and_streams_as_json_deltas(client: AsyncAnthropic, question: dict[str, Any]) -> None:
    async with client.messages.stream(**question, tools=[WEATHER], tool_choice={"type": "any"}) as stream:
        message = await stream.get_final_message()

    [tool_use] = message.content
    assert tool_use.type == "tool_use"
    assert tool_use.input == {"city": "How do I scale a deployment?", "days": 2, "unit": "celsius"}
    assert message.stop_reason == "tool_use"


async def test_tool_result_ends_the_loop_with_text(client: AsyncAnthropic, question: dict[str, Any]) -> None:
    call = await client.messages.create(**question, tools=[WEATHER])
    tool_use = call.content[-1]
    assert isinstance(tool_use, ToolUseBlock)
    result = {"type": "tool_result", "tool_use_id": tool_use.id, "content": [{"type": "text", "text": "Sunny, 21 degrees"}]}
    turns = [*question["messages"], {"role": "assistant", "content": call.content}, {"role": "user", "content": [result]}]

    message = await client.messages.create(**question | {"messages": turns}, tools=[WEATHER])

    [block] = message.content
    assert isinstance(block, TextBlock)
    assert "Sunny, 21 degrees" in block.text
    assert message.stop_reason == "end_turn"


async def test_no_tool_is_called_when_none_may_be(client: AsyncAnthropic, question: dict[str, Any]) -> None:
    message = await client.messages.create(**question, tools=[WEATHER], tool_choice={"type": "none"})

    assert [block.type for block in message.content] == ["text"]


@pytest.mark.parametrize("thinking", [{"type": "adaptive"}, {"type": "enabled", "budget_tokens": 1024}])
async def test_thinking_block_comes_first_and_streams(client: AsyncAnthropic, question: dict[str, Any], thinking: dict[str, Any]) -> None:
    arguments = question | {"max_tokens": 4096, "thinking": thinking}
    whole = await client.messages.create(**arguments)

    async with client.messages.stream(**arguments) as stream:
        streamed = await stream.get_final_message()

    first, second = whole.content
    assert isinstance(first, ThinkingBlock)
    assert first.thinking
    assert first.signature
    assert second.type == "text"
    assert [block.model_dump(include={"type", "text", "thinking", "signature"}) for block in streamed.content] == [
        block.model_dump(include={"type", "text", "thinking", "signature"}) for block in whole.content
    ]


async def test_omitted_thinking_leaves_the_signature_only(client: AsyncAnthropic, question: dict[str, Any]) -> None:
    message = await client.messages.create(**question, thinking={"type": "adaptive", "display": "omitted"})

    first = message.content[0]
    assert isinstance(first, ThinkingBlock)
    assert first.thinking == ""
    assert first.signature


async def test_max_tokens_shortens_the_answer(client: AsyncAnthropic, question: dict[str, Any]) -> None:
    message = await client.messages.create(**question | {"max_tokens": 10})

    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 10


async def test_stop_sequence_ends_the_answer_before_it(client: AsyncAnthropic, question: dict[str, Any]) -> None:
    message = await client.messages.create(**question, stop_sequences=["never there", "Step by step"])

    [block] = message.content
    assert isinstance(block, TextBlock)
    assert message.stop_reason == "stop_sequence"
    assert message.stop_sequence == "Step by step"
    assert "Step by step" not in block.text


async def test_count_tokens_agrees_with_the_usage(client: AsyncAnthropic, question: dict[str, Any]) -> None:
    message = await client.messages.create(**question, system="Be brief.", tools=[WEATHER])

    counted = await client.messages.count_tokens(
        model=question["model"], messages=question["messages"], system="Be brief.", tools=[WEATHER]
    )

    assert counted.input_tokens == message.usage.input_tokens > 0


@pytest.mark.parametrize("content", ["日本語の質問です", "🙂" * 300, "\u0000 \u2028", "x" * 500_000, 'quote " and \\ and </script>'])
async def test_any_text_comes_back_the_same_streamed_or_not(client: AsyncAnthropic, content: str) -> None:
    arguments: dict[str, Any] = {"model": "claude-haiku-5-5", "max_tokens": 4000, "messages": [{"role": "user", "content": content}]}
    whole = await client.messages.create(**arguments)

    async with client.messages.stream(**arguments) as stream:
        streamed = await stream.get_final_text()

    assert isinstance(whole.content[0], TextBlock)
    assert streamed == whole.content[0].text


async def test_every_answer_has_a_request_id_and_rate_limits(client: AsyncAnthropic, question: dict[str, Any]) -> None:
    answers = [
        await client.messages.with_raw_response.create(**question),
        await client.messages.with_raw_response.create(**question, extra_body={"stream": True}),
        await client.models.with_raw_response.list(),
    ]

    for answer in answers:
        assert answer.headers["request-id"].startswith("req_01")
        assert int(answer.headers["anthropic-ratelimit-requests-remaining"]) > 0
        assert answer.headers["anthropic-ratelimit-tokens-reset"].endswith("Z")


async def test_system_message_within_the_conversation_is_taken(client: AsyncAnthropic, question: dict[str, Any]) -> None:
    turns = [*question["messages"], {"role": "system", "content": "Answer in French."}]

    message = await client.messages.create(**question | {"messages": turns})

    assert isinstance(message.content[0], TextBlock)
    assert "How do I scale a deployment?" in message.content[0].text
