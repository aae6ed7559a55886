"""The client of the model's API: against the simulator, and against answers that it would never give."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from chatbot_service.conversation import Answer, Delta, Event, Finished, Started, Turn, Usage
from chatbot_service.errors import (
    UpstreamFailed,
    UpstreamGarbage,
    UpstreamOverloaded,
    UpstreamProblem,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamSpent,
    UpstreamTimeout,
)
from chatbot_service.readiness import Outcome
from chatbot_service.settings import Settings
from chatbot_service.upstream import Reply, Upstream
from tests.conftest import Simulator
from tests.service.peers import CHUNKED, END, Peer, PeerServer, chunk, nobody, script, serving, until, write_certificate

MODEL = "claude-sonnet-5-5"
QUESTION = (Turn("user", "How do I scale a deployment?"),)
START = {"type": "message_start", "message": {"id": "m", "model": "claude", "usage": {"input_tokens": 5, "output_tokens": 1}}}
TEXT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}
LAST = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}
STOP = {"type": "message_stop"}
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "canary"}}


@asynccontextmanager
async def connected(url: str, *, key: str = "demo", **variables: str) -> AsyncIterator[Upstream]:
    upstream = Upstream(Settings.from_environment({"ANTHROPIC_BASE_URL": url, **variables}))
    upstream.use_key(key)
    try:
        yield upstream
    finally:
        await upstream.close()


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[tuple[Upstream, PeerServer]]:
    """Lend a client of a server that gives `answers` in turn and then closes the connection."""
    async with serving(script(*answers)) as server, connected(server.url) as upstream:
        yield upstream, server


async def open_(upstream: Upstream) -> Reply:
    return await upstream.open(MODEL, QUESTION, system=None)


async def read_all(reply: Reply) -> list[list[Event]]:
    """Return the events of each read."""
    reads: list[list[Event]] = []
    with closing(reply):
        while not (reads and reads[-1] and isinstance(reads[-1][-1], Finished)):
            reads.append(await reply.read())
    return reads


async def stream(upstream: Upstream) -> list[Event]:
    return [event for events in await read_all(await open_(upstream)) for event in events]


async def complete(upstream: Upstream, *, model: str = MODEL, system: str | None = None, seconds: float = 20) -> Answer:
    return await upstream.complete(model, QUESTION, system=system, timeout_seconds=seconds)


def told(*events: object) -> bytes:
    """Return `events` as the API sends them, in one chunk."""
    return chunk(b"".join(b"event: x\ndata: %b\n\n" % json.dumps(event).encode() for event in events))


def whole(status: int, body: bytes, *fields: bytes) -> bytes:
    head = b"".join(field + b"\r\n" for field in (b"HTTP/1.1 %d X" % status, b"content-length: %d" % len(body), *fields))
    return head + b"\r\n" + body


async def test_a_stream_and_an_answer_in_one_piece_say_the_same(simulator: Simulator) -> None:
    async with connected(simulator.url) as upstream:
        answer = await complete(upstream)
        events = await stream(upstream)

    assert isinstance(events[0], Started)
    assert events[0].model == answer.model == "claude-sonnet-5-5"
    assert "".join(event.text for event in events if isinstance(event, Delta)) == answer.text
    assert events[-1] == Finished(answer.stop_reason, answer.usage)


async def test_an_answer_longer_than_the_sdk_takes_in_one_piece_is_assembled(simulator: Simulator) -> None:
    async with connected(simulator.url, CLAUDE_MAX_TOKENS="64000") as long, connected(simulator.url) as short:
        assembled, whole = await complete(long), await complete(short)

    assert (assembled.text, assembled.stop_reason, assembled.model) == (whole.text, whole.stop_reason, whole.model)
    assert assembled.usage == whole.usage


async def test_an_assembled_answer_has_a_bound() -> None:
    text = TEXT | {"delta": {"type": "text_delta", "text": "a" * 1024 * 1024}}
    endless = CHUNKED + told(START, *[text] * 20, LAST, STOP) + END
    async with serving(script(endless)) as server, connected(server.url, CLAUDE_MAX_TOKENS="64000") as upstream:
        with pytest.raises(UpstreamGarbage):
            await complete(upstream)
        assert upstream.open_connections == 0


async def test_model_limit_effort_and_prompt_are_sent(simulator: Simulator) -> None:
    async with connected(simulator.url, CLAUDE_MAX_TOKENS="5", CLAUDE_EFFORT="low") as upstream:
        plain = await complete(upstream, model="claude-haiku-5-5")
        prompted = await complete(upstream, system="Answer in verse, and only in verse.")

    assert (plain.model, plain.stop_reason, plain.usage.output_tokens) == ("claude-haiku-5-5", "max_tokens", 5)
    assert prompted.usage.input_tokens > plain.usage.input_tokens


@pytest.mark.parametrize(
    ("model", "key", "outcome", "lifecycle", "error_type"),
    [
        ("claude-sonnet-5-5", "demo", Outcome.ACCEPTED, "active", None),
        ("claude-sonnet-4-5", "demo", Outcome.ACCEPTED, "deprecated", None),
        ("claude-3-5-sonnet-20241022", "demo", Outcome.MODEL_REFUSED, "retired", None),
        ("no-such-model", "demo", Outcome.MODEL_REFUSED, None, "not_found_error"),
        ("claude-sonnet-5-5", "invalid-key", Outcome.KEY_REFUSED, None, "authentication_error"),
    ],
)
async def test_a_check_tells_key_and_model_apart(
    simulator: Simulator, *, model: str, key: str, outcome: Outcome, lifecycle: str | None, error_type: str | None
) -> None:
    async with connected(simulator.url, key="other", CLAUDE_MODEL=model) as upstream:
        verdict = await upstream.check(key)

    assert (verdict.outcome, verdict.lifecycle, verdict.error_type) == (outcome, lifecycle, error_type)
    assert verdict.latency_seconds > 0
    assert simulator.requests()["total"] == 1


async def test_a_deprecated_model_says_when_it_retires(simulator: Simulator) -> None:
    async with connected(simulator.url, CLAUDE_MODEL="claude-sonnet-4-5") as upstream:
        assert (await upstream.check("demo")).retires_at == "2026-11-30T00:00:00+00:00"


async def test_leaving_a_stream_closes_its_connection(simulator: Simulator) -> None:
    simulator.behave(pace="10s", events=5)
    async with connected(simulator.url) as upstream:
        with closing(await open_(upstream)) as reply:
            await reply.read()

        await asyncio.to_thread(simulator.wait_until, lambda counts: counts["cancelled"] == 1)


async def test_an_api_that_cannot_be_reached_cannot_judge() -> None:
    with nobody() as port:
        async with connected(f"http://127.0.0.1:{port}") as upstream:
            verdict = await upstream.check("demo")

    assert (verdict.outcome, verdict.error_type) == (Outcome.UNJUDGEABLE, "connection_error")


async def test_an_api_that_does_not_answer_cannot_judge() -> None:
    async with serving(Peer.left) as server, connected(server.url, HEALTH_CHECK_TIMEOUT="50ms") as upstream:
        verdict = await upstream.check("demo")

    assert (verdict.outcome, verdict.error_type) == (Outcome.UNJUDGEABLE, "timeout")


@pytest.mark.parametrize(
    "answer",
    [
        whole(404, b""),
        whole(404, b"<html>"),
        whole(200, b"{}"),
        whole(200, b"[]"),
        whole(200, b'{"id": 7}'),
        whole(200, b'{"id": "m", "retires_at": "soon"}'),
        whole(302, b"", b"location: /"),
    ],
)
async def test_an_answer_of_someone_else_cannot_judge(answer: bytes) -> None:
    async with answering(answer) as (upstream, _):
        assert (await upstream.check("demo")).outcome is Outcome.UNJUDGEABLE


@pytest.mark.parametrize(("trusted", "outcome"), [(True, Outcome.ACCEPTED), (False, Outcome.UNJUDGEABLE)])
async def test_a_private_authority_is_trusted_by_the_ca_file_alone(tmp_path: Path, *, trusted: bool, outcome: Outcome) -> None:
    ca_file, context = write_certificate(tmp_path)
    variables = {"ANTHROPIC_CA_FILE": str(ca_file)} if trusted else {}
    async with serving(script(whole(200, b'{"id":"m"}')), tls=context) as server, connected(server.url, **variables) as upstream:
        assert (await upstream.check("demo")).outcome is outcome


async def test_a_key_is_used_from_the_next_request_on_and_a_check_uses_its_own() -> None:
    answer = whole(200, b'{"id":"m"}')
    async with answering(answer, answer, answer, answer) as (upstream, server):
        await upstream.check("first")
        for key in ("second", "third"):
            upstream.use_key(key)
            with pytest.raises(UpstreamGarbage):
                await complete(upstream)
        await upstream.check("fourth")

    assert [request.partition(b"Bearer ")[2].split(b"\r\n")[0] for request in server.requests] == [b"first", b"second", b"third", b"fourth"]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("fault", "kind", "status", "error_type"),
    [
        ({"error": {"status": 500}}, UpstreamFailed, 500, "api_error"),
        ({"error": {"status": 529}}, UpstreamOverloaded, 529, "overloaded_error"),
        ({"error": {"status": 429, "retry_after": "7"}}, UpstreamRateLimited, 429, "rate_limit_error"),
        ({"error": {"status": 429, "type": "enforced_spend_limit_reached"}}, UpstreamSpent, 429, "rate_limit_error"),
        ({"redirect_to": "http://127.0.0.1:9/"}, UpstreamFailed, 307, "api_error"),
    ],
    ids=["failure", "overload", "rate limit", "spending limit", "redirect"],
)
async def test_a_refusal_is_one_problem_and_one_request(
    simulator: Simulator, *, fault: dict[str, object], kind: type[UpstreamProblem], status: int, error_type: str, streamed: bool
) -> None:
    simulator.behave(**fault)
    async with connected(simulator.url) as upstream:
        with pytest.raises(UpstreamProblem) as raised:
            await (open_(upstream) if streamed else complete(upstream))

    assert type(raised.value) is kind
    assert (raised.value.upstream_status, raised.value.error_type) == (status, error_type)
    assert raised.value.retry_after_seconds == (7 if "retry_after" in str(fault) else None)
    assert simulator.requests()["by_path"]["/v1/messages"] == 1


@pytest.mark.parametrize(
    "body", [b"<html>", b"", b'{"error": "x"}', b"x" * 40_000_000, b"half"], ids=["html", "none", "other json", "endless", "cut"]
)
async def test_the_status_stands_whatever_the_body_of_a_failure_is(body: bytes) -> None:
    answer = whole(529, body, b"request-id: req_1", b"x-should-retry: true")
    async with answering(answer if body != b"half" else answer[:-2]) as (upstream, _):
        with pytest.raises(UpstreamOverloaded) as raised:
            await complete(upstream)

    assert (raised.value.upstream_status, raised.value.request_id, raised.value.should_retry) == (529, "req_1", True)


async def test_an_answer_that_takes_too_long_is_given_up(simulator: Simulator) -> None:
    simulator.behave(stall_at=3)
    async with connected(simulator.url) as upstream, connected(simulator.url, CLAUDE_MAX_TOKENS="64000") as long:
        for client in (upstream, long):
            with pytest.raises(UpstreamTimeout):
                await complete(client, seconds=0.1)
            assert client.open_connections == 0


async def test_a_stream_whose_first_byte_does_not_come_is_given_up(simulator: Simulator) -> None:
    simulator.behave(stall_at=0)
    async with connected(simulator.url, UPSTREAM_CONNECT_TIMEOUT="50ms", UPSTREAM_FIRST_BYTE_TIMEOUT="50ms") as upstream:
        with pytest.raises(UpstreamTimeout):
            await open_(upstream)
        assert upstream.open_connections == 0


async def test_a_stream_that_stalls_is_given_up(simulator: Simulator) -> None:
    simulator.behave(stall_at=6)
    async with connected(simulator.url, UPSTREAM_IDLE_TIMEOUT="50ms") as upstream:
        with pytest.raises(UpstreamTimeout):
            await stream(upstream)


async def test_an_overload_in_a_stream_is_an_overload(simulator: Simulator) -> None:
    simulator.behave(overload_at=3)
    async with connected(simulator.url) as upstream:
        with pytest.raises(UpstreamOverloaded) as raised:
            await stream(upstream)

    assert (raised.value.upstream_status, raised.value.error_type) == (529, "overloaded_error")


@pytest.mark.parametrize("cut_at", [2, 6])
async def test_a_stream_that_ends_before_its_end_is_a_truncation(simulator: Simulator, *, cut_at: int) -> None:
    simulator.behave(cut_at=cut_at)
    async with connected(simulator.url) as upstream:
        with pytest.raises(UpstreamGarbage) as raised:
            await stream(upstream)

    assert raised.value.error_type == "truncated"


async def test_a_stream_without_its_last_event_is_a_truncation() -> None:
    async with answering(CHUNKED + told(START, TEXT, LAST) + END) as (upstream, _):
        with pytest.raises(UpstreamGarbage) as raised:
            await stream(upstream)

    assert raised.value.error_type == "truncated"


async def test_the_events_of_one_read_are_told_together_and_those_of_two_are_not() -> None:
    async def handle(peer: Peer) -> None:
        await peer.request()
        peer.send(CHUNKED + told(START, TEXT, TEXT))
        await peer.reader.read(1)
        peer.send(told(TEXT, LAST, STOP) + END)
        await peer.left()

    async with serving(handle) as server, connected(server.url) as upstream:
        reply = await open_(upstream)
        first = await reply.read()
        server.peers[0].reader.feed_data(b"!")
        rest = await read_all(reply)

    assert first == [Started("m", "claude"), Delta("a"), Delta("a")]
    assert rest == [[Delta("a"), Finished("end_turn", Usage(5, 7))]]


async def test_an_error_after_content_is_told_by_the_next_read() -> None:
    async with answering(CHUNKED + told(START, TEXT, OVERLOADED)) as (upstream, _):
        with closing(await open_(upstream)) as reply:
            assert await reply.read() == [Started("m", "claude"), Delta("a")]
            with pytest.raises(UpstreamOverloaded):
                await reply.read()


@pytest.mark.parametrize("answer", [whole(204, b""), whole(200, b"<html>"), whole(200, b"packed", b"content-encoding: gzip")])
async def test_an_answer_of_another_kind_is_garbage(answer: bytes) -> None:
    async with answering(answer, answer) as (upstream, _):
        with pytest.raises(UpstreamGarbage):
            await complete(upstream)
        with pytest.raises(UpstreamGarbage):
            await stream(upstream)


async def test_streams_and_answers_share_one_connection() -> None:
    streamed = CHUNKED + told(START, TEXT, LAST, STOP) + END
    answer = whole(200, b'{"id":"m","model":"c","content":[],"stop_reason":null,"usage":{"input_tokens":1,"output_tokens":1}}')
    async with answering(streamed, streamed, answer, streamed) as (upstream, server):
        for work in (stream, stream, complete, stream):
            await work(upstream)
        assert (server.accepted, upstream.open_connections, upstream.idle_connections) == (1, 1, 1)


async def test_a_stream_whose_last_bytes_are_late_leaves_its_connection_too() -> None:
    async def handle(peer: Peer) -> None:
        await peer.request()
        peer.send(CHUNKED + told(START, TEXT, LAST, STOP))
        await peer.server.closing.wait()
        peer.send(END)
        await peer.request()
        peer.send(CHUNKED + told(START, TEXT, LAST, STOP) + END)

    async with serving(handle) as server, connected(server.url) as upstream:
        await stream(upstream)
        server.closing.set()
        await until(lambda: upstream.idle_connections)
        await stream(upstream)

        assert server.accepted == 1


async def test_a_refusal_leaves_its_connection_to_the_next() -> None:
    async with answering(whole(529, b"{}"), whole(401, b"{}")) as (upstream, server):
        with pytest.raises(UpstreamOverloaded):
            await open_(upstream)
        with pytest.raises(UpstreamRefused):
            await complete(upstream)

        assert server.accepted == 1


async def test_a_reader_that_is_cancelled_leaves_at_once() -> None:
    async def handle(peer: Peer) -> None:
        await peer.request()
        peer.send(CHUNKED + told(START))
        await peer.left()

    async with serving(handle) as server, connected(server.url) as upstream:
        reply = await open_(upstream)
        await reply.read()
        reading = asyncio.create_task(reply.read())
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

        assert upstream.open_connections == 0
        await until(server.peers[0].reader.at_eof)
