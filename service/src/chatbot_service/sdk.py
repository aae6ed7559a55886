"""What the SDK knows of the API, asked of the SDK: how the heads of requests read, and how much may be asked for in one piece.

The only module that imports it. It sends nothing: its requests end in a transport that keeps them, and `upstream` sends their heads
with bodies of its own. So the SDK costs a request nothing, and what its next version says differently is said here too.
"""

import logging
from dataclasses import dataclass

import anthropic
import httpx2

MAX_WHOLE_TOKENS = 21_333
"""The SDK lets longer answers only be streamed."""


@dataclass(frozen=True, slots=True)
class Heads:
    """The requests that one key sends; `whole` and `stream` end where the length of the body belongs."""

    whole: bytes
    stream: bytes
    model: bytes


class Sdk:
    """The SDK as it would talk to `base_url`."""

    def __init__(self, base_url: str, *, whole_seconds: float, idle_seconds: float) -> None:
        # At DEBUG the SDK logs prompts, whatever this process logs.
        logging.getLogger("anthropic").setLevel(logging.WARNING)
        self._base_url = base_url
        self._whole_seconds = whole_seconds
        self._idle_seconds = idle_seconds

    def heads(self, key: str, *, model: str) -> Heads:
        """Return the heads of requests with `key`, and the one that asks about `model`."""
        kept = _Kept()
        with anthropic.Anthropic(
            api_key=key,
            base_url=self._base_url,
            max_retries=0,
            default_headers={"accept-encoding": "identity"},
            http_client=httpx2.Client(transport=kept, trust_env=False),
        ) as client:
            messages = client.messages.with_raw_response
            messages.create(model="-", max_tokens=1, messages=[], timeout=self._whole_seconds)
            whole = kept.head() + b"content-length: "
            messages.create(model="-", max_tokens=1, messages=[], timeout=self._idle_seconds, stream=True)
            stream = kept.head() + b"content-length: "
            client.models.with_raw_response.retrieve(model, timeout=self._whole_seconds)
            return Heads(whole, stream, kept.head() + b"\r\n")


class _Kept(httpx2.BaseTransport):
    """Keeps the last request instead of sending it."""

    def __init__(self) -> None:
        self._request: httpx2.Request | None = None

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self._request = request
        return httpx2.Response(200, json={}, request=request)

    def head(self) -> bytes:
        """Return its request line and fields, but for the body's length."""
        request = self._request
        assert request is not None  # noqa: S101  the SDK sends before it returns
        lines = [b"%b %b HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
        lines += [b"%b: %b" % field for field in request.headers.raw if field[0].lower() != b"content-length"]
        if any(b"\r" in line or b"\n" in line for line in lines):
            raise ValueError("a field of the head holds a line break")
        return b"\r\n".join(lines) + b"\r\n"
