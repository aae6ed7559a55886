"""The counts: what is counted, what is open, and clients that leave."""

import asyncio
import contextlib
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic

from tests.conftest import Simulator


async def test_requests_are_counted_by_path_and_status(client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator) -> None:
    await client.messages.create(**question)
    async with client.messages.stream(**question) as stream:
        await stream.until_done()
    await client.models.retrieve("claude-sonnet-5-5")
    with pytest.raises(anthropic.NotFoundError):
        await client.models.retrieve("claude-unheard-of")

    assert simulator.requests() == {
        "total": 4,
        "by_path": {"/v1/messages": 2, "/v1/models/claude-sonnet-5-5": 1, "/v1/models/claude-unheard-of": 1},
        "by_status": {"200": 3, "404": 1},
        "open": 0,
        "cancelled": 0,
    }


async def test_forgetting_sets_the_counts_to_zero(client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator) -> None:
    await client.messages.create(**question)

    simulator.forget()

    assert simulator.requests() == {"total": 0, "by_path": {}, "by_status": {}, "open": 0, "cancelled": 0}


@pytest.mark.parametrize(
    ("faults", "stream"),
    [
        ({"first_token_delay": "1m"}, False),
        ({"first_token_delay": "1m"}, True),
        ({"pace": "1m"}, False),
        ({"stall_at": 0}, True),
        ({"stall_at": 1}, False),
    ],
)
async def test_leaving_before_the_answer_is_cancelled_at_once(
    client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator, faults: dict[str, Any], *, stream: bool
) -> None:
    simulator.behave(**faults)
    asking = asyncio.create_task(client.messages.create(**question, stream=stream))
    await asyncio.to_thread(simulator.wait_until, lambda counts: counts["open"] == 1)

    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    counts = await asyncio.to_thread(simulator.wait_until, lambda counts: counts["open"] == 0)

    assert counts["cancelled"] == 1
    assert counts["total"] == 1


@pytest.mark.parametrize("faults", [{"pace": "20ms", "events": 1000}, {"pace": "1m"}, {"stall_at": 5}])
async def test_leaving_mid_stream_is_cancelled_at_once(
    client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator, faults: dict[str, Any]
) -> None:
    simulator.behave(**faults)

    async with await client.messages.create(**question, stream=True) as stream:
        async for event in stream:
            if event.type == "content_block_delta":
                break
        assert simulator.requests()["open"] == 1
    counts = await asyncio.to_thread(simulator.wait_until, lambda counts: counts["cancelled"] == 1)

    assert counts["open"] == 0


async def test_leaving_while_sending_the_body_is_cancelled(simulator: Simulator) -> None:
    host, port = simulator.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
    await asyncio.to_thread(simulator.wait_until, lambda counts: counts["open"] == 1)

    writer.close()
    await writer.wait_closed()
    counts = await asyncio.to_thread(simulator.wait_until, lambda counts: counts["open"] == 0)

    assert counts["cancelled"] == 1
    assert counts["by_status"] == {}


async def test_leaving_a_long_burst_unread_is_cancelled(simulator: Simulator) -> None:
    simulator.behave(events=50_000)
    body = b'{"model":"claude-sonnet-5-5","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"Hello"}]}'
    host, port = simulator.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: demo\r\nanthropic-version: 2026-10-21\r\n"
        b"content-length: %d\r\n\r\n%s" % (len(body), body)
    )
    await reader.readline()

    writer.close()
    await writer.wait_closed()
    counts = await asyncio.to_thread(simulator.wait_until, lambda counts: counts["open"] == 0)

    assert counts["cancelled"] == 1


async def test_two_hundred_open_streams_all_end(client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator) -> None:
    simulator.behave(pace="20ms", events=10)

    async def read() -> int:
        async with await client.messages.create(**question, stream=True) as stream:
            return len([event async for event in stream])

    counts = await asyncio.gather(*(read() for _ in range(200)))

    assert set(counts) == {15}
    assert simulator.requests()["open"] == 0
    assert simulator.requests()["cancelled"] == 0
