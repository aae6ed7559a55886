"""The real SDK, pointed at the simulator: without retries, redirects or anything from the environment."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from anthropic import AsyncAnthropic, DefaultAsyncHttpxClient

from tests.conftest import Simulator


@pytest.fixture
async def client(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncAnthropic]:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "ANTHROPIC_CUSTOM_HEADERS"):
        monkeypatch.delenv(name, raising=False)
    # Plain HTTP: reading the CA certificates would cost 45 ms a test.
    transport = DefaultAsyncHttpxClient(trust_env=False, follow_redirects=False, verify=False)
    async with AsyncAnthropic(base_url=simulator.url, api_key="demo", max_retries=0, timeout=10, http_client=transport) as client:
        yield client


@pytest.fixture
def question() -> dict[str, Any]:
    """The arguments of a plain question."""
    return {
        "model": "claude-sonnet-5-5",
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": "How do I scale a deployment?"}],
    }
