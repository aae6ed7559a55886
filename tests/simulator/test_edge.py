"""Keys, versions, sizes and paths: what is refused before the body is looked at."""

from typing import Any

import anthropic
import httpx2
import pytest
from anthropic import AsyncAnthropic

from tests.conftest import Simulator

VERSION = {"anthropic-version": "2026-10-21"}
HELLO = {"model": "claude-sonnet-5-5", "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]}


def post(simulator: Simulator, headers: dict[str, str]) -> httpx2.Response:
    return httpx2.post(f"{simulator.url}/v1/messages", json=HELLO, headers=headers, trust_env=False, verify=False)


@pytest.mark.parametrize(
    "headers", [{"x-api-key": "demo"}, {"authorization": "Bearer demo"}, {"authorization": "bearer demo"}, {"x-api-key": "sk-ant-invalid"}]
)
def test_any_key_is_accepted_in_either_header(simulator: Simulator, headers: dict[str, str]) -> None:
    assert post(simulator, VERSION | headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "x-api-key header is required"),
        ({"x-api-key": ""}, "x-api-key header is required"),
        ({"authorization": "Basic ZGVtbzpkZW1v"}, "x-api-key header is required"),
        ({"x-api-key": "invalid"}, "invalid x-api-key"),
        ({"x-api-key": "invalid-key-7"}, "invalid x-api-key"),
        ({"authorization": "Bearer invalid"}, "Invalid bearer token"),
    ],
)
def test_missing_and_invalid_keys_are_a_401(simulator: Simulator, headers: dict[str, str], message: str) -> None:
    answer = post(simulator, VERSION | headers)

    assert answer.status_code == 401
    assert answer.json()["error"] == {"type": "authentication_error", "message": message}
    assert answer.headers["request-id"] == answer.json()["request_id"]
    assert "anthropic-ratelimit-requests-limit" in answer.headers


async def test_invalid_key_is_the_sdks_authentication_error_everywhere(client: AsyncAnthropic, question: dict[str, Any]) -> None:
    stranger = client.with_options(api_key="invalid-0")

    with pytest.raises(anthropic.AuthenticationError):
        await stranger.messages.create(**question)
    with pytest.raises(anthropic.AuthenticationError):
        await stranger.models.retrieve("claude-sonnet-5-5")


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "anthropic-version: header is required"),
        ({"anthropic-version": "tomorrow"}, 'anthropic-version: "tomorrow" is not a valid version'),
    ],
)
def test_missing_and_unknown_versions_are_a_400(simulator: Simulator, headers: dict[str, str], message: str) -> None:
    answer = post(simulator, {"x-api-key": "demo"} | headers)

    assert answer.status_code == 400
    assert answer.json()["error"] == {"type": "invalid_request_error", "message": message}


@pytest.mark.parametrize("chunked", [False, True])
def test_body_above_the_cap_is_a_413(simulator: Simulator, *, chunked: bool) -> None:
    body = b"x" * (32 * 1024 * 1024 + 1)
    content = iter([body]) if chunked else body

    answer = httpx2.post(
        f"{simulator.url}/v1/messages", content=content, headers=VERSION | {"x-api-key": "demo"}, trust_env=False, verify=False, timeout=30
    )

    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "request_too_large"


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/nothing", 404, "not_found_error"),
        ("GET", "/", 404, "not_found_error"),
        ("GET", "/v1/messages", 405, "invalid_request_error"),
        ("DELETE", "/v1/models/claude-sonnet-5-5", 405, "invalid_request_error"),
    ],
)
def test_unknown_paths_and_methods_get_the_apis_error_body(simulator: Simulator, method: str, path: str, status: int, kind: str) -> None:
    answer = httpx2.request(method, simulator.url + path, headers=VERSION | {"x-api-key": "demo"}, trust_env=False, verify=False)

    assert answer.status_code == status
    assert answer.json()["error"]["type"] == kind


def test_probe_answers_without_a_key_and_is_not_counted(simulator: Simulator) -> None:
    assert httpx2.get(f"{simulator.url}/healthz", trust_env=False, verify=False).status_code == 200
    assert simulator.requests()["total"] == 0
