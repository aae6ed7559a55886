"""The client of the model's API against the simulator."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from chatbot_service.conversation import Answer, Delta, Event, Finished, Started, Turn
from chatbot_service.errors import UpstreamFailed, UpstreamGarbage, UpstreamUnreachable
from chatbot_service.readiness import Outcome
from chatbot_service.settings import Settings
from chatbot_service.upstream import Upstream
from tests.conftest import Simulator

MODEL = "claude-sonnet-5-5"
QUESTION = (Turn("user", "How do I scale a deployment?"),)


def url_of(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}"


@asynccontextmanager
async def connected(url: str, *, key: str = "demo", **variables: str) -> AsyncIterator[Upstream]:
    upstream = Upstream(Settings.from_environment({"ANTHROPIC_BASE_URL": url, **variables}))
    upstream.use_key(key)
    try:
        yield upstream
    finally:
        await upstream.close()


async def stream(upstream: Upstream, *, system: str | None = None) -> list[Event]:
    events: list[Event] = []
    with closing(await upstream.open(MODEL, QUESTION, system=system)) as reply:
        while not (events and isinstance(events[-1], Finished)):
            events += await reply.read()
    return events


async def complete(upstream: Upstream, *, model: str = MODEL, system: str | None = None) -> Answer:
    return await upstream.complete(model, QUESTION, system=system, timeout_seconds=20)


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


async def test_an_api_that_cannot_be_reached_cannot_judge() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        async with connected(url_of(nobody)) as upstream:
            verdict = await upstream.check("demo")

    assert (verdict.outcome, verdict.error_type) == (Outcome.UNJUDGEABLE, "connection_error")


async def test_an_api_that_does_not_answer_cannot_judge() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with connected(url_of(silent), HEALTH_CHECK_TIMEOUT="100ms") as upstream:
            verdict = await upstream.check("demo")

    assert (verdict.outcome, verdict.error_type) == (Outcome.UNJUDGEABLE, "timeout")


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"]
)
async def test_an_answer_of_someone_else_cannot_judge(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, connected(url_of(server.sockets[0])) as upstream:
        verdict = await upstream.check("demo")

    assert verdict.outcome is Outcome.UNJUDGEABLE


async def test_a_stream_that_ends_before_its_end_is_a_truncation(simulator: Simulator) -> None:
    simulator.behave(cut_at=6)
    async with connected(simulator.url) as upstream:
        with pytest.raises((UpstreamUnreachable, UpstreamGarbage)):
            await stream(upstream)


async def test_leaving_a_stream_closes_its_connection(simulator: Simulator) -> None:
    simulator.behave(pace="10s", events=5)
    async with connected(simulator.url) as upstream:
        with closing(await upstream.open(MODEL, QUESTION, system=None)) as reply:
            await reply.read()

        await asyncio.to_thread(simulator.wait_until, lambda counts: counts["cancelled"] == 1)


async def test_redirects_are_not_followed(simulator: Simulator) -> None:
    simulator.behave(redirect_to=f"{simulator.url}/v1/messages")
    async with connected(simulator.url) as upstream:
        with pytest.raises(UpstreamFailed):
            await complete(upstream)

    assert simulator.requests()["by_path"]["/v1/messages"] == 1


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate of `localhost` and its key; it is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key(), serial_number=1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "ca.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate_file, key_file


@pytest.mark.parametrize(("trusted", "outcome"), [(True, Outcome.ACCEPTED), (False, Outcome.UNJUDGEABLE)])
async def test_a_private_authority_is_trusted_by_the_ca_file_alone(tmp_path: Path, *, trusted: bool, outcome: Outcome) -> None:
    certificate, key = write_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    body = b'{"type":"model","id":"claude-sonnet-5-5","lifecycle":"active"}'

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()

    variables = {"ANTHROPIC_CA_FILE": str(certificate)} if trusted else {}
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        async with connected(url, **variables) as upstream:
            verdict = await upstream.check("demo")

    assert verdict.outcome is outcome
