"""The environment of a chat pod: the operator's half of the contract with the service's settings.

For what the spec has no field, nothing is rendered, so the service's own default holds.
"""

from collections.abc import Iterable

from chatbot_operator import names
from chatbot_operator.desired.files import mounted_files
from chatbot_operator.desired.ports import ADMIN_PORT, HTTP_PORT
from chatbot_operator.resource import ChatbotDeployment, ChatbotSpec, Manifest


def build_environment(resource: ChatbotDeployment) -> dict[str, str]:
    """Return the variables whose value is known here, by name; lists are comma-separated, and an empty value is none."""
    spec = resource.spec
    variables = {
        "SERVICE_NAME": resource.name,
        "PORT": HTTP_PORT,
        "ADMIN_PORT": ADMIN_PORT,
        "ADMIN_HOST": "0.0.0.0",
        "LOG_LEVEL": spec.logging.level,
        "LOG_FORMAT": spec.logging.format,
        "DRAIN_DELAY": spec.drain.delay,
        "DRAIN_TIMEOUT": spec.drain.timeout,
        **_model(spec),
        **_upstream(spec),
        **_limits(spec),
        "CLIENT_AUTH_MODE": spec.client_auth.mode,
        "CORS_ALLOWED_ORIGINS": _joined(spec.api.cors_allowed_origins),
        **{file.variable: file.path for file in mounted_files(resource)},
    }
    return {name: str(value) for name, value in variables.items() if value not in (None, "")}


def build_container_environment(resource: ChatbotDeployment) -> list[Manifest]:
    """Return the container's `env`: the variables, what only the pod itself knows, and what the user adds, which may refer to both."""
    return [
        *(_variable(name, value) for name, value in build_environment(resource).items()),
        _from_pod("POD_UID", "metadata.uid"),
        _from_pod("POD_TEMPLATE_HASH", f"metadata.labels['{names.POD_TEMPLATE_HASH_LABEL}']"),
        *(_variable(variable.name, variable.value) for variable in resource.spec.env),
    ]


def _model(spec: ChatbotSpec) -> dict[str, object]:
    return {
        "CLAUDE_MODEL": spec.model.name,
        "CLAUDE_FALLBACK_MODELS": _joined(spec.model.fallbacks),
        "CLAUDE_MAX_TOKENS": spec.model.max_tokens,
        "CLAUDE_EFFORT": spec.model.effort,
    }


def _upstream(spec: ChatbotSpec) -> dict[str, object]:
    upstream = spec.upstream
    return {
        "ANTHROPIC_BASE_URL": upstream.base_url,
        "UPSTREAM_CONNECT_TIMEOUT": upstream.timeouts.connect,
        "UPSTREAM_FIRST_BYTE_TIMEOUT": upstream.timeouts.first_byte,
        "UPSTREAM_IDLE_TIMEOUT": upstream.timeouts.idle,
        "UPSTREAM_TOTAL_TIMEOUT": upstream.timeouts.total,
        "ANTHROPIC_MAX_RETRIES": upstream.retries.max_attempts,
        "ANTHROPIC_INITIAL_BACKOFF": upstream.retries.initial_backoff,
        "ANTHROPIC_MAX_BACKOFF": upstream.retries.max_backoff,
        "RETRY_BUDGET_PERCENT": upstream.retries.budget_percent,
        "BREAKER_FAILURE_THRESHOLD": upstream.circuit_breaker.failure_threshold,
        "BREAKER_RESET_TIMEOUT": upstream.circuit_breaker.reset_timeout,
    }


def _limits(spec: ChatbotSpec) -> dict[str, object]:
    limits = spec.limits
    return {
        "REQUEST_TIMEOUT": limits.request_timeout,
        "MAX_REQUEST_SIZE": limits.max_request_bytes,
        "RATE_LIMIT_RPS": limits.requests_per_second,
        "RATE_LIMIT_PER_CLIENT_RPS": limits.per_client_requests_per_second,
        "MAX_IN_FLIGHT": limits.max_in_flight,
        "QUEUE_SIZE": limits.queue,
        "QUEUE_TIMEOUT": limits.queue_timeout,
        "TRUSTED_PROXIES": _joined(limits.trusted_proxies),
    }


def _joined(values: Iterable[str]) -> str:
    return ",".join(values)


def _variable(name: str, value: str) -> Manifest:
    """Return an element of `env`; the API server keeps no empty value, so one would differ for ever."""
    return {"name": name, "value": value} if value else {"name": name}


def _from_pod(name: str, path: str) -> Manifest:
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}
