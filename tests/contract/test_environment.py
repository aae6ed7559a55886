"""The operator's half of the contract, read by the service's own settings: every value round-trips."""

from typing import Any

import pytest
from hypothesis import given

from chatbot_operator.desired import desired_state
from chatbot_operator.desired.environment import build_environment
from chatbot_operator.resource import ChatbotDeployment, duration_milliseconds
from chatbot_service.settings import Settings as ServiceSettings
from tests.resources import SETTINGS, resource_of, resources
from tests.specs import EVERY_FIELD

# Set by Kubernetes in each pod; the operator only says where they come from.
FROM_THE_POD = {"POD_UID", "POD_TEMPLATE_HASH"}
# No field of the resource speaks of them: the service's own defaults hold.
NOT_RENDERED = {"ANTHROPIC_API_KEY", "DEBUG_ENDPOINTS", "HEALTH_CHECK_TIMEOUT", "METRICS_ENABLED", "RATE_LIMIT_ENABLED", "VERSION"}
FILES = {
    "ANTHROPIC_API_KEY_FILE": "/etc/chatbot/credentials/anthropic-api-key",
    "SYSTEM_PROMPT_FILE": "/etc/chatbot/prompt/system-prompt",
    "ANTHROPIC_CA_FILE": "/etc/chatbot/ca-bundle/ca.crt",
    "CLIENT_TOKENS_FILE": "/etc/chatbot/client-tokens/tokens",
}


def _container(resource: ChatbotDeployment) -> dict[str, Any]:
    deployment = next(child for child in desired_state(resource, SETTINGS, 2) if child["kind"] == "Deployment")
    container: dict[str, Any] = deployment["spec"]["template"]["spec"]["containers"][0]
    return container


def _expected(resource: ChatbotDeployment) -> dict[str, object]:
    """Return the service's settings as the spec means them, but for durations and files."""
    spec = resource.spec
    return {
        "service_name": resource.name,
        "port": 8080,
        "admin_port": 9090,
        "admin_host": "0.0.0.0",
        "log_level": spec.logging.level,
        "log_format": spec.logging.format,
        "anthropic_base_url": spec.upstream.base_url.rstrip("/"),
        "anthropic_max_retries": spec.upstream.retries.max_attempts,
        "retry_budget_percent": spec.upstream.retries.budget_percent,
        "breaker_failure_threshold": spec.upstream.circuit_breaker.failure_threshold,
        "claude_model": spec.model.name,
        "claude_fallback_models": spec.model.fallbacks,
        "claude_max_tokens": spec.model.max_tokens,
        "claude_effort": spec.model.effort,
        "max_request_size": spec.limits.max_request_bytes,
        "rate_limit_rps": spec.limits.requests_per_second,
        "rate_limit_per_client_rps": spec.limits.per_client_requests_per_second,
        "max_in_flight": spec.limits.max_in_flight,
        "queue_size": spec.limits.queue,
        "trusted_proxies": spec.limits.trusted_proxies,
        "cors_allowed_origins": spec.api.cors_allowed_origins,
        "client_auth_mode": spec.client_auth.mode,
    }


def _expected_durations(resource: ChatbotDeployment) -> dict[str, str]:
    spec = resource.spec
    timeouts, retries = spec.upstream.timeouts, spec.upstream.retries
    return {
        "upstream_connect_timeout": timeouts.connect,
        "upstream_first_byte_timeout": timeouts.first_byte,
        "upstream_idle_timeout": timeouts.idle,
        "upstream_total_timeout": timeouts.total,
        "request_timeout": spec.limits.request_timeout,
        "queue_timeout": spec.limits.queue_timeout,
        "anthropic_initial_backoff": retries.initial_backoff,
        "anthropic_max_backoff": retries.max_backoff,
        "breaker_reset_timeout": spec.upstream.circuit_breaker.reset_timeout,
        "drain_delay": spec.drain.delay,
        "drain_timeout": spec.drain.timeout,
    }


def _expected_files(resource: ChatbotDeployment) -> set[str]:
    spec = resource.spec
    present = {
        "ANTHROPIC_API_KEY_FILE": True,
        "SYSTEM_PROMPT_FILE": spec.system_prompt is not None or spec.system_prompt_from is not None,
        "ANTHROPIC_CA_FILE": spec.upstream.ca_bundle_ref is not None,
        "CLIENT_TOKENS_FILE": spec.client_auth.mode == "Token",
    }
    return {name for name, is_there in present.items() if is_there}


@given(resource=resources)
def test_service_reads_what_the_spec_says(resource: ChatbotDeployment) -> None:
    settings = ServiceSettings.from_environment(build_environment(resource))

    read = settings.model_dump()
    durations, files = _expected_durations(resource), _expected_files(resource)
    assert {name: read[name] for name in _expected(resource)} == _expected(resource)
    assert {name: round(read[name] * 1000) for name in durations} == {
        name: duration_milliseconds(duration) for name, duration in durations.items()
    }
    assert {name: read[name.lower()] for name in FILES} == {name: path if name in files else None for name, path in FILES.items()}


def test_every_setting_is_compared_here() -> None:
    resource = resource_of()
    compared = {name.upper() for name in (*_expected(resource), *_expected_durations(resource))}

    assert compared | set(FILES) | FROM_THE_POD | NOT_RENDERED == {field.upper() for field in ServiceSettings.model_fields}


def test_every_setting_that_a_field_speaks_of_is_rendered() -> None:
    known = {field.upper() for field in ServiceSettings.model_fields}

    rendered = {variable["name"] for variable in _container(resource_of(EVERY_FIELD))["env"]}

    assert rendered == known - NOT_RENDERED | {"TZ", "EMPTY"}


@given(resource=resources)
def test_every_variable_is_the_users_or_one_that_the_service_knows(resource: ChatbotDeployment) -> None:
    known = {field.upper() for field in ServiceSettings.model_fields}

    rendered = [variable["name"] for variable in _container(resource)["env"]]

    added = [variable.name for variable in resource.spec.env]
    assert rendered[len(rendered) - len(added) :] == added  # so that they may refer to those before
    assert set(rendered) - set(added) <= known
    assert len(set(rendered)) == len(rendered)
    assert set(rendered) >= FROM_THE_POD


@pytest.mark.parametrize(
    "spec",
    [EVERY_FIELD, {"systemPromptFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}, {"clientAuth": {"mode": "Token"}}],
    ids=["every field", "prompt of a ConfigMap", "generated token"],
)
def test_files_lie_where_the_environment_says(spec: dict[str, Any]) -> None:
    resource = resource_of(spec)
    environment = build_environment(resource)
    deployment = next(child for child in desired_state(resource, SETTINGS, 2) if child["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    directories = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}

    items = [
        (volume["name"], item["path"])
        for volume in pod["volumes"]
        for source in ("secret", "configMap")
        for item in volume.get(source, {}).get("items", ())
    ]

    assert {f"{directories[volume]}/{path}" for volume, path in items} == {environment[name] for name in FILES if name in environment}
    assert all("subPath" not in mount for mount in pod["containers"][0]["volumeMounts"])  # such a file is never renewed


def test_probes_and_service_meet_the_ports_of_the_service() -> None:
    settings = ServiceSettings.from_environment(build_environment(resource_of()))

    ports = {port["name"]: port["containerPort"] for port in _container(resource_of())["ports"]}

    assert ports == {"http": settings.port, "admin": settings.admin_port}
