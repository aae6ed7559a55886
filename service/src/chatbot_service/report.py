"""The pod's report to the operator, version 1: at most 4 KB, no key, no prompt, no client's data."""

from datetime import UTC, datetime
from typing import Any

from chatbot_service.resilience.breaker import BreakerState
from chatbot_service.runtime import Runtime

VERSION = 1


def build_report(runtime: Runtime) -> dict[str, Any]:
    """Return the report of this moment."""
    settings, readiness, traffic = runtime.settings, runtime.readiness, runtime.traffic
    return {
        "version": VERSION,
        "pod": {"uid": settings.pod_uid, "templateHash": settings.pod_template_hash},
        "state": _state(runtime),
        "breaker": _breakers(runtime),
        "lastErrorType": runtime.metrics.last_error_type,
        "credentials": {
            "state": readiness.credentials.value,
            "fingerprintChangedAt": runtime.credentials.changed_at if runtime.credentials is not None else None,
        },
        "model": {"name": settings.claude_model, "state": readiness.model.value, **_lifecycle(runtime)},
        "clientTokens": runtime.tokens.state if runtime.tokens is not None else None,
        "inFlight": runtime.slots.in_flight,
        "windows": traffic.summary(),
        "tokens": {"input": traffic.input_tokens, "output": traffic.output_tokens},
    }


def _state(runtime: Runtime) -> str:
    if runtime.readiness.draining:
        return "draining"
    if not runtime.readiness.ready:
        return "not_ready"
    return "degraded" if runtime.degraded else "ready"


def _breakers(runtime: Runtime) -> dict[str, Any]:
    """Return them by model; before the first call can be made, calls would pass, which is what closed means."""
    if runtime.calls is None:
        return {runtime.settings.claude_model: {"state": BreakerState.CLOSED, "trips": 0}}
    return {model: {"state": breaker.state, "trips": breaker.trips} for model, breaker in runtime.calls.breakers.items()}


def _lifecycle(runtime: Runtime) -> dict[str, Any]:
    verdict = runtime.readiness.verdict
    return {
        "lifecycle": verdict.lifecycle if verdict is not None else None,
        "retiresAt": verdict.retires_at if verdict is not None else None,
        "daysToRetirement": verdict.days_to_retirement(datetime.now(UTC)) if verdict is not None else None,
    }
