import subprocess

import pytest

from chatbot_service.errors import SettingsInvalid
from chatbot_service.settings import Settings
from tests.service.conftest import COMMAND, clean_environment

DOCUMENTED = """
    ANTHROPIC_API_KEY CLAUDE_MODEL ANTHROPIC_MAX_RETRIES ANTHROPIC_INITIAL_BACKOFF ANTHROPIC_MAX_BACKOFF REQUEST_TIMEOUT MAX_REQUEST_SIZE
    RATE_LIMIT_RPS RATE_LIMIT_ENABLED CORS_ALLOWED_ORIGINS LOG_LEVEL LOG_FORMAT HEALTH_CHECK_TIMEOUT METRICS_ENABLED PORT ADMIN_PORT
    ADMIN_HOST SERVICE_NAME VERSION ANTHROPIC_BASE_URL ANTHROPIC_CA_FILE ANTHROPIC_API_KEY_FILE SYSTEM_PROMPT_FILE CLIENT_AUTH_MODE
    CLIENT_TOKENS_FILE CLAUDE_MAX_TOKENS CLAUDE_EFFORT CLAUDE_FALLBACK_MODELS UPSTREAM_CONNECT_TIMEOUT UPSTREAM_FIRST_BYTE_TIMEOUT
    UPSTREAM_IDLE_TIMEOUT UPSTREAM_TOTAL_TIMEOUT RETRY_BUDGET_PERCENT BREAKER_FAILURE_THRESHOLD BREAKER_RESET_TIMEOUT
    RATE_LIMIT_PER_CLIENT_RPS TRUSTED_PROXIES MAX_IN_FLIGHT QUEUE_SIZE QUEUE_TIMEOUT DRAIN_DELAY DRAIN_TIMEOUT DEBUG_ENDPOINTS POD_UID
    POD_TEMPLATE_HASH
"""
PROMISED = {
    "ANTHROPIC_MAX_RETRIES": "3",
    "ANTHROPIC_INITIAL_BACKOFF": "1s",
    "ANTHROPIC_MAX_BACKOFF": "10s",
    "BREAKER_FAILURE_THRESHOLD": "5",
    "BREAKER_RESET_TIMEOUT": "30s",
    "REQUEST_TIMEOUT": "30s",
    "MAX_REQUEST_SIZE": "10485760",
    "RATE_LIMIT_RPS": "100",
    "RATE_LIMIT_ENABLED": "true",
    "LOG_LEVEL": "info",
    "LOG_FORMAT": "json",
    "HEALTH_CHECK_TIMEOUT": "10s",
    "METRICS_ENABLED": "true",
    "PORT": "8080",
}
"""The defaults that users have been told, written once more by hand: whatever is generated follows a changed one."""


def complaints(**environ: str) -> list[str]:
    with pytest.raises(SettingsInvalid) as caught:
        Settings.from_environment(environ)
    return list(caught.value.lines)


def test_the_variables_are_exactly_the_documented_ones() -> None:
    assert {name.upper() for name in Settings.model_fields} == set(DOCUMENTED.split())


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_an_empty_environment_is_a_whole_configuration() -> None:
    settings = Settings.from_environment({})

    assert (settings.port, settings.admin_port, settings.claude_model) == (8080, 9090, "claude-sonnet-5-5")
    assert (settings.request_timeout, settings.anthropic_max_retries, settings.max_request_size) == (30, 3, 10_485_760)
    assert settings.cors_allowed_origins == ()


@pytest.mark.parametrize(("name", "value"), PROMISED.items())
def test_the_default_is_the_promised_one(name: str, value: str) -> None:
    assert Settings.from_environment({}) == Settings.from_environment({name: value})


def test_an_empty_variable_is_an_unset_one() -> None:
    assert Settings.from_environment({"CORS_ALLOWED_ORIGINS": "", "CLAUDE_EFFORT": ""}) == Settings.from_environment({})


def test_lists_are_comma_separated() -> None:
    settings = Settings.from_environment({"CLAUDE_FALLBACK_MODELS": "a, b", "TRUSTED_PROXIES": "10.0.0.0/8,fd00::/8"})

    assert settings.claude_fallback_models == ("a", "b")
    assert settings.trusted_proxies == ("10.0.0.0/8", "fd00::/8")


@pytest.mark.parametrize("origin", ["*", "https://a.example", "http://localhost:3000", "https://[::1]:8443"])
def test_an_origin_is_what_browsers_send(origin: str) -> None:
    assert Settings.from_environment({"CORS_ALLOWED_ORIGINS": origin}).cors_allowed_origins == (origin,)


def test_the_version_is_that_of_the_image_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_VERSION", "v1.2.3")

    assert Settings.from_environment({"VERSION": ""}).version == "v1.2.3"
    assert Settings.from_environment({"VERSION": "v2.0.0"}).version == "v2.0.0"


def test_the_admin_port_is_private_outside_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert Settings.from_environment({}).admin_host == "127.0.0.1"

    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    assert Settings.from_environment({}).admin_host == "0.0.0.0"


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("PORT", "http", "valid integer"),
        ("PORT", "65536", "less than or equal to 65535"),
        ("REQUEST_TIMEOUT", "30", "is not a duration"),
        ("REQUEST_TIMEOUT", "-5s", "is not a duration"),
        ("UPSTREAM_CONNECT_TIMEOUT", "0s", "greater than 0"),
        ("ANTHROPIC_BASE_URL", "ftp://example.com", "must be http(s)"),
        ("ANTHROPIC_BASE_URL", "https://user:pw@example.com", "user name"),
        ("ANTHROPIC_BASE_URL", "https://example.com/?", "a query"),
        ("ANTHROPIC_BASE_URL", "https://example.com:99999", "Port out of range"),
        ("ANTHROPIC_BASE_URL", "https://example.com\n", "printable ASCII"),
        ("ANTHROPIC_BASE_URL", " https://example.com", "without spaces"),
        ("ANTHROPIC_BASE_URL", "https://ex\u00e4mple.com", "printable ASCII"),
        ("CLAUDE_EFFORT", "heroic", "'low'"),
        ("CLAUDE_MAX_TOKENS", "128001", "128000"),
        ("CLAUDE_FALLBACK_MODELS", "a,b,c,d", "at most 3"),
        ("CLAUDE_FALLBACK_MODELS", "a,a", "must not repeat"),
        ("CLAUDE_FALLBACK_MODELS", "claude-sonnet-5-5", "must not repeat"),
        ("CORS_ALLOWED_ORIGINS", "https://a.example/path", "must be origins"),
        ("CORS_ALLOWED_ORIGINS", "https://a.example/", "must be origins"),
        ("CORS_ALLOWED_ORIGINS", "https://A.example", "must be origins"),
        ("CORS_ALLOWED_ORIGINS", "https://user@a.example", "must be origins"),
        ("CORS_ALLOWED_ORIGINS", "https://", "must be origins"),
        ("CORS_ALLOWED_ORIGINS", "a.example", "must be origins"),
        ("CORS_ALLOWED_ORIGINS", "null", "must be origins"),
        ("CORS_ALLOWED_ORIGINS", "*,https://a.example", "must stand alone"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "has host bits set"),
        ("LOG_LEVEL", "loud", "'debug'"),
        ("METRICS_ENABLED", "perhaps", "valid boolean"),
        ("CLIENT_AUTH_MODE", "Basic", "'None'"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable(name: str, value: str, complaint: str) -> None:
    [line] = complaints(**{name: value})

    assert line.startswith(f"{name}: ")
    assert complaint.lower() in line.lower()


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"UPSTREAM_CONNECT_TIMEOUT": "20s"}, "UPSTREAM_FIRST_BYTE_TIMEOUT: (15s) is less than UPSTREAM_CONNECT_TIMEOUT (20s)"),
        ({"REQUEST_TIMEOUT": "10s"}, "REQUEST_TIMEOUT: (10s) is less than UPSTREAM_FIRST_BYTE_TIMEOUT (15s)"),
        ({"UPSTREAM_IDLE_TIMEOUT": "11m"}, "UPSTREAM_IDLE_TIMEOUT: (11m0s) exceeds UPSTREAM_TOTAL_TIMEOUT (10m0s)"),
        ({"CLIENT_AUTH_MODE": "Token"}, "CLIENT_TOKENS_FILE: must be set when CLIENT_AUTH_MODE is Token"),
        ({"ANTHROPIC_MAX_BACKOFF": "500ms"}, "ANTHROPIC_MAX_BACKOFF: (500ms) is less than ANTHROPIC_INITIAL_BACKOFF (1s)"),
    ],
)
def test_a_contradiction_names_both_variables(environ: dict[str, str], line: str) -> None:
    assert complaints(**environ) == [line]


def test_every_complaint_comes_at_once_and_the_command_ends_with_2() -> None:
    environment = clean_environment(PORT="x", LOG_LEVEL="loud", REQUEST_TIMEOUT="5s", ANTHROPIC_API_KEY="sk-canary")

    result = subprocess.run([COMMAND], env=environment, capture_output=True, text=True, timeout=30, check=False)

    assert result.returncode == 2
    assert sorted(line.split(":")[0] for line in result.stderr.splitlines()) == ["LOG_LEVEL", "PORT", "REQUEST_TIMEOUT"]
    assert "canary" not in result.stderr + result.stdout
