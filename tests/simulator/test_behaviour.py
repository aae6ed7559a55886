"""Faults: what PUT takes, and what each does to the SDK."""

import asyncio
import json
import time
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic import AsyncAnthropic

from anthropic_simulator.behaviour import Behaviour, ErrorFault, Faults, parse_duration
from tests.conftest import Simulator


async def read_kinds(client: AsyncAnthropic, arguments: dict[str, Any], *, into: list[str] | None = None) -> list[str]:
    kinds = [] if into is None else into
    async with await client.messages.create(**arguments, stream=True) as stream:
        async for event in stream:
            kinds.append(event.type)
    return kinds


def put(simulator: Simulator, body: str) -> httpx2.Response:
    return httpx2.put(f"{simulator.url}/_simulator/behaviour", content=body, trust_env=False, verify=False)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("2s", 2), ("1m30s", 90), ("1h", 3600), ("1.5s", 1.5), ("0s", 0), ("500us", 0.0005)],
)
def test_go_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "-1s", "+1s", "1d", "1w", "1s ", "s", "1e3s", ".5s", "1..5s", 5, None, "9999999s"])
def test_other_durations_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ('{"latency": "1s"}', "latency: unknown key"),
        ('{"error": {"code": 500}}', "error.code: unknown key"),
        ('{"pace": "5"}', "pace: '5' is not a duration"),
        ('{"pace": 5}', "pace: 5 is not a duration"),
        ('{"first_token_delay": "-1s"}', "first_token_delay: '-1s' is not a duration"),
        ('{"events": 0}', "events: "),
        ('{"events": "7"}', "events: "),
        ('{"error": {"status": 200}}', "error.status: "),
        ('{"error": {"rate": 1.1}}', "error.rate: "),
        ('{"error": {"next": -1}}', "error.next: "),
        ('{"error": {"retry_after": "1\\r\\nx: y"}}', "error.retry_after: "),
        ('{"stall_at": -1}', "stall_at: "),
        ('{"overload_at": 0}', "overload_at: "),
        ('{"redirect_to": "http://a\\nb"}', "redirect_to: "),
        ('{"garbage": "yes"}', "garbage: "),
        ("[]", "body: "),
        ("", "body: "),
    ],
)
def test_bad_behaviour_is_refused_by_name_and_changes_nothing(simulator: Simulator, body: str, named: str) -> None:
    simulator.behave(events=3)

    answer = put(simulator, body)

    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["error"]["message"].startswith(named)
    assert httpx2.get(f"{simulator.url}/_simulator/behaviour", trust_env=False, verify=False).json() == {"events": 3}


def test_put_replaces_the_whole_and_an_empty_one_resets(simulator: Simulator) -> None:
    everything = {
        "first_token_delay": "1ms",
        "pace": "1ms",
        "events": 3,
        "error": {"status": 529, "type": "overloaded_error", "rate": 0.5, "next": 2, "retry_after": "1"},
        "stall_at": 1,
        "cut_at": 2,
        "overload_at": 3,
        "redirect_to": "http://127.0.0.1:1/",
        "garbage": True,
    }

    assert put(simulator, json.dumps(everything)).json() == everything
    assert put(simulator, '{"events": 2}').json() == {"events": 2}
    assert put(simulator, "{}").json() == {}


async def test_events_sets_the_number_of_deltas(client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator) -> None:
    for events in (1, 7, 3000):
        simulator.behave(events=events)

        kinds = await read_kinds(client, question | {"max_tokens": 1})

        assert kinds.count("content_block_delta") == events
        assert kinds[-1] == "message_stop"


async def test_first_token_delay_holds_back_the_headers(client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator) -> None:
    simulator.behave(first_token_delay="150ms")

    for arguments in (question, question | {"stream": True}):
        begin = time.monotonic()
        async with client.messages.with_streaming_response.create(**arguments):
            assert time.monotonic() - begin >= 0.15


async def test_pace_lengthens_the_stream_and_the_json_answer_alike(
    client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator
) -> None:
    simulator.behave(pace="30ms", events=4)

    begin = time.monotonic()
    await client.messages.create(**question)
    whole = time.monotonic() - begin
    begin = time.monotonic()
    await read_kinds(client, question)
    streamed = time.monotonic() - begin

    assert min(whole, streamed) >= 0.08


@pytest.mark.parametrize(
    ("status", "kind", "raised"),
    [
        (400, "invalid_request_error", anthropic.BadRequestError),
        (401, "authentication_error", anthropic.AuthenticationError),
        (402, "billing_error", anthropic.PaymentRequiredError),
        (403, "permission_error", anthropic.PermissionDeniedError),
        (404, "not_found_error", anthropic.NotFoundError),
        (409, "conflict_error", anthropic.ConflictError),
        (413, "request_too_large", anthropic.ContentTooLargeError),
        (422, "invalid_request_error", anthropic.UnprocessableEntityError),
        (429, "rate_limit_error", anthropic.RateLimitError),
        (500, "api_error", anthropic.InternalServerError),
        (503, "api_error", anthropic.ServiceUnavailableError),
        (504, "timeout_error", anthropic.GatewayTimeoutError),
        (529, "overloaded_error", anthropic.OverloadedError),
        (599, "api_error", anthropic.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_error_status_has_its_type_and_the_sdks_class(
    client: AsyncAnthropic,
    question: dict[str, Any],
    simulator: Simulator,
    *,
    status: int,
    kind: str,
    raised: type[anthropic.APIStatusError],
    stream: bool,
) -> None:
    simulator.behave(error={"status": status})

    with pytest.raises(raised) as refused:
        await client.messages.create(**question, stream=stream)

    body = refused.value.body
    assert refused.value.status_code == status
    assert isinstance(body, dict)
    assert body["error"]["type"] == kind
    assert body["request_id"] == refused.value.request_id
    assert refused.value.response.headers["x-should-retry"] == ("true" if status in (409, 429) or status >= 500 else "false")
    assert "retry-after" not in refused.value.response.headers


async def test_error_is_a_500_by_default_and_spares_other_paths(
    client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator
) -> None:
    simulator.behave(error={})

    with pytest.raises(anthropic.InternalServerError):
        await client.messages.create(**question)
    await client.models.retrieve("claude-sonnet-5-5")
    await client.messages.count_tokens(model=question["model"], messages=question["messages"])


async def test_error_type_and_retry_after_are_passed_on(client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator) -> None:
    simulator.behave(error={"status": 429, "type": "teapot_error", "retry_after": "Wed, 21 Oct 2026 07:28:00 GMT"})

    with pytest.raises(anthropic.RateLimitError) as refused:
        await client.messages.create(**question)

    assert str(refused.value.type) == "teapot_error"
    assert refused.value.response.headers["retry-after"] == "Wed, 21 Oct 2026 07:28:00 GMT"


async def test_spend_limit_is_a_code_and_not_worth_a_retry(client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator) -> None:
    simulator.behave(error={"status": 429, "type": "enforced_spend_limit_reached"})

    with pytest.raises(anthropic.RateLimitError) as refused:
        await client.messages.create(**question)

    assert refused.value.type == "rate_limit_error"
    assert refused.value.error_code == "enforced_spend_limit_reached"
    assert refused.value.response.headers["x-should-retry"] == "false"


async def test_next_errors_end_by_themselves(client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator) -> None:
    simulator.behave(error={"status": 529, "next": 2})

    for left in (1, 0):
        with pytest.raises(anthropic.OverloadedError):
            await client.messages.create(**question)
        assert httpx2.get(f"{simulator.url}/_simulator/behaviour", trust_env=False, verify=False).json()["error"]["next"] == left
    await client.messages.create(**question)


@pytest.mark.parametrize(("rate", "failures"), [(0.0, 0), (0.1, 10), (0.29, 29), (0.5, 50), (1.0, 100)])
def test_rate_is_exact_and_the_same_every_time(rate: float, failures: int) -> None:
    def run() -> list[bool]:
        faults = Faults(Behaviour(error=ErrorFault(rate=rate)))
        return [faults.next_error() is not None for _ in range(100)]

    assert sum(run()) == failures
    assert run() == run()


async def test_invalid_requests_do_not_use_up_an_error(client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator) -> None:
    simulator.behave(error={"status": 529, "next": 1})

    with pytest.raises(anthropic.BadRequestError):
        await client.messages.create(**question | {"messages": []})
    with pytest.raises(anthropic.OverloadedError):
        await client.messages.create(**question)


async def test_stall_keeps_the_connection_open_after_the_events_before_it(
    client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator
) -> None:
    simulator.behave(stall_at=6)

    async with await client.messages.create(**question, stream=True) as stream:
        kinds = [(await anext(stream)).type for _ in range(4)]
        sixth = asyncio.ensure_future(anext(stream))
        arrived, _ = await asyncio.wait({sixth}, timeout=0.3)
        open_requests = simulator.requests()["open"]
        sixth.cancel()

    assert kinds == ["message_start", "content_block_start", "content_block_delta", "content_block_delta"]
    assert (arrived, open_requests) == (set(), 1)


@pytest.mark.parametrize("at", [0, 1])
async def test_json_answer_stalls(client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator, at: int) -> None:
    simulator.behave(stall_at=at)

    with pytest.raises(anthropic.APITimeoutError):
        await client.messages.create(**question, timeout=0.3)


async def test_cut_closes_the_connection_without_an_end(client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator) -> None:
    simulator.behave(cut_at=5)
    kinds: list[str] = []

    with pytest.raises(httpx2.RemoteProtocolError):
        await read_kinds(client, question, into=kinds)

    assert kinds == ["message_start", "content_block_start", "content_block_delta"]


@pytest.mark.parametrize(("stream", "at"), [(False, 0), (False, 1), (True, 0)])
async def test_cut_before_or_within_the_answer_is_a_connection_error(
    client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator, at: int, *, stream: bool
) -> None:
    simulator.behave(cut_at=at)

    with pytest.raises(anthropic.APIConnectionError):
        await client.messages.create(**question, stream=stream)
    counts = simulator.wait_until(lambda counts: counts["open"] == 0)

    assert counts["cancelled"] == 0


@pytest.mark.parametrize("at", [1, 2, 6])
async def test_overload_ends_the_stream_with_an_error_event(
    client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator, at: int
) -> None:
    simulator.behave(overload_at=at)
    kinds: list[str] = []

    with pytest.raises(anthropic.APIStatusError) as refused:
        await read_kinds(client, question, into=kinds)

    assert refused.value.status_code == 200
    assert refused.value.type == "overloaded_error"
    assert len(kinds) == at - 1 - (at > 3)


async def test_overloaded_json_answer_is_a_529(client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator) -> None:
    simulator.behave(overload_at=1)

    with pytest.raises(anthropic.OverloadedError):
        await client.messages.create(**question)


async def test_fault_beyond_the_last_event_does_nothing(client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator) -> None:
    simulator.behave(events=2, cut_at=9)

    assert (await read_kinds(client, question))[-1] == "message_stop"


async def test_earliest_fault_wins(client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator) -> None:
    simulator.behave(overload_at=4, cut_at=5, stall_at=6)

    with pytest.raises(anthropic.APIStatusError) as refused:
        await read_kinds(client, question)

    assert refused.value.type == "overloaded_error"


async def test_redirect_names_its_target_and_the_prompt_is_not_answered(
    client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator
) -> None:
    simulator.behave(redirect_to="http://127.0.0.1:1/elsewhere")

    with pytest.raises(anthropic.APIStatusError) as refused:
        await client.messages.create(**question)

    assert refused.value.status_code == 307
    assert refused.value.response.headers["location"] == "http://127.0.0.1:1/elsewhere"


@pytest.mark.parametrize("stream", [False, True])
async def test_garbage_is_a_200_that_is_no_json(
    client: AsyncAnthropic, question: dict[str, Any], simulator: Simulator, *, stream: bool
) -> None:
    simulator.behave(garbage=True)

    with pytest.raises(json.JSONDecodeError):
        await read_kinds(client, question) if stream else await client.messages.create(**question)
    assert simulator.requests()["by_status"] == {"200": 1}
