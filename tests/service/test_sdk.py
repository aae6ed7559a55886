"""What is sent here beside what the SDK itself sends: a new version of it that speaks otherwise fails this."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import pytest

from chatbot_service.conversation import Turn
from chatbot_service.errors import UpstreamProblem
from chatbot_service.sdk import MAX_WHOLE_TOKENS, Sdk
from chatbot_service.settings import Settings
from chatbot_service.upstream import Upstream
from tests.service.peers import Peer, nobody, serving

MODEL = "claude-sonnet-5-5"
CONVERSATION = (Turn("user", "Wie geht's? \u2603"), Turn("assistant", "Gut.\n\u0001"), Turn("user", "\U0001f600"))
PROMPT = "Answer in verse."
ARGUMENTS: dict[str, Any] = {
    "model": MODEL,
    "max_tokens": 5,
    "messages": [{"role": turn.role, "content": turn.content} for turn in CONVERSATION],
    "system": PROMPT,
    "output_config": {"effort": "low"},
}
OTHERWISE = {"accept-encoding"}
"""Where we differ: what comes is not to be packed, least of all a stream."""


async def complete(upstream: Upstream) -> None:
    await upstream.complete(MODEL, CONVERSATION, system=PROMPT, timeout_seconds=10)


async def open_(upstream: Upstream) -> None:
    await upstream.open(MODEL, CONVERSATION, system=PROMPT)


async def check(upstream: Upstream) -> None:
    await upstream.check("sk-ant-1")


def sdk_complete(client: anthropic.Anthropic) -> None:
    client.messages.with_raw_response.create(**ARGUMENTS, timeout=30.0)


def sdk_open(client: anthropic.Anthropic) -> None:
    client.messages.with_raw_response.create(**ARGUMENTS, timeout=60.0, stream=True)


def sdk_check(client: anthropic.Anthropic) -> None:
    client.models.with_raw_response.retrieve(MODEL, timeout=30.0)


def sdk_at(base_url: str) -> anthropic.Anthropic:
    transport = httpx2.Client(trust_env=False, verify=False)  # plain HTTP: reading the CA certificates would take 45 ms
    return anthropic.Anthropic(api_key="sk-ant-1", base_url=base_url, max_retries=0, http_client=transport)


def parse(request: bytes) -> tuple[str, dict[str, str], Any]:
    """Return the request line, the fields and the decoded body."""
    head, _, body = request.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    named = {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}
    assert len(named) == len(fields)
    assert int(named.pop("content-length", "0")) == len(body)
    return line, named, json.loads(body) if body else None


async def refuse(peer: Peer) -> None:
    await peer.request()
    peer.send(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("ours", "theirs"), [(complete, sdk_complete), (open_, sdk_open), (check, sdk_check)], ids=["complete", "open", "check"]
)
async def test_we_send_what_the_sdk_sends(ours: Callable[[Upstream], Any], theirs: Callable[[anthropic.Anthropic], None]) -> None:
    async with serving(refuse) as server:
        base_url = f"{server.url}/gateway/a%20b"
        upstream = Upstream(
            Settings.from_environment(
                {"ANTHROPIC_BASE_URL": base_url, "CLAUDE_MODEL": MODEL, "CLAUDE_MAX_TOKENS": "5", "CLAUDE_EFFORT": "low"}
            )
        )
        upstream.use_key("sk-ant-1")
        with contextlib.suppress(UpstreamProblem):
            await ours(upstream)
        with sdk_at(base_url) as client, pytest.raises(anthropic.BadRequestError):
            await asyncio.to_thread(theirs, client)
        await upstream.close()

    (line, fields, body), (their_line, their_fields, their_body) = map(parse, server.requests)
    assert (line, body) == (their_line, their_body)
    assert {name for name in fields.keys() | their_fields.keys() if fields.get(name) != their_fields.get(name)} == OTHERWISE
    assert fields["accept-encoding"] == "identity"
    assert "Bearer sk-ant-1" in fields.values()


@pytest.mark.parametrize(
    ("base_url", "target", "host"),
    [
        ("https://api.anthropic.com", "/v1/messages", "api.anthropic.com"),
        ("http://gateway.test:8443/some/where", "/some/where/v1/messages", "gateway.test:8443"),
        ("https://[2001:db8::1]:8443", "/v1/messages", "[2001:db8::1]:8443"),
        ("https://[2001:db8::1]", "/v1/messages", "[2001:db8::1]"),
    ],
)
def test_the_head_names_the_host_and_the_path_of_the_base_url(base_url: str, target: str, host: str) -> None:
    heads = Sdk(base_url, whole_seconds=30, idle_seconds=60).heads("k", model="a/b")

    for head in (heads.whole, heads.stream):
        assert head.startswith(f"POST {target} HTTP/1.1\r\nHost: {host}\r\n".encode())
        assert head.endswith(b"\r\ncontent-length: ")
    assert heads.model.startswith(f"GET {target.removesuffix('messages')}models/a%2Fb HTTP/1.1\r\nHost: {host}\r\n".encode())
    assert heads.model.endswith(b"\r\n\r\n")


def test_another_key_makes_other_heads() -> None:
    sdk = Sdk("http://127.0.0.1", whole_seconds=30, idle_seconds=60)

    first, second = sdk.heads("key-1", model=MODEL), sdk.heads("key-2", model=MODEL)

    assert first.whole.replace(b"key-1", b"key-2") == second.whole
    assert first.stream.replace(b"key-1", b"key-2") == second.stream
    assert first.model.replace(b"key-1", b"key-2") == second.model


def test_a_key_cannot_bring_a_field_of_its_own() -> None:
    with pytest.raises(ValueError, match="line break"):
        Sdk("http://127.0.0.1", whole_seconds=30, idle_seconds=60).heads("key\r\nx-evil: 1", model=MODEL)


def test_the_sdk_takes_answers_in_one_piece_up_to_our_limit_and_no_further() -> None:
    with nobody() as port, sdk_at(f"http://127.0.0.1:{port}") as client:
        arguments = ARGUMENTS | {"max_tokens": MAX_WHOLE_TOKENS}
        with pytest.raises(anthropic.APIConnectionError):
            client.messages.create(**arguments)
        with pytest.raises(ValueError, match="Streaming is required"):
            client.messages.create(**arguments | {"max_tokens": MAX_WHOLE_TOKENS + 1})


def test_the_sdk_does_not_log_prompts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="anthropic")
    Sdk("http://127.0.0.1", whole_seconds=30, idle_seconds=60)

    assert not logging.getLogger("anthropic").isEnabledFor(logging.INFO)
