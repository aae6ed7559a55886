"""The pod's report to the operator, version 1: at most 4 KB, no key, no prompt, no client's data."""

from typing import Any

from chatbot_service.credentials import Credentials
from chatbot_service.readiness import Readiness
from chatbot_service.settings import Settings
from chatbot_service.traffic import Traffic

VERSION = 1


def build_report(*, settings: Settings, readiness: Readiness, credentials: Credentials | None, traffic: Traffic) -> dict[str, Any]:
    """Return the report of this moment."""
    verdict = readiness.verdict
    return {
        "version": VERSION,
        "pod": {"uid": settings.pod_uid, "templateHash": settings.pod_template_hash},
        "state": _state(readiness),
        # Nothing opens the circuit yet: calls always pass, which is what closed means.
        "breaker": {settings.claude_model: {"state": "closed", "trips": 0}},
        "lastErrorType": traffic.last_error_type,
        "credentials": {
            "state": readiness.credentials.value,
            "fingerprintChangedAt": credentials.changed_at if credentials is not None else None,
        },
        "model": {
            "name": settings.claude_model,
            "state": readiness.model.value,
            "lifecycle": verdict.lifecycle if verdict is not None else None,
            "retiresAt": verdict.retires_at if verdict is not None else None,
        },
        "clientTokens": None,
        "inFlight": traffic.in_flight,
        "windows": traffic.summary(),
        "tokens": {"input": traffic.input_tokens, "output": traffic.output_tokens},
    }


def _state(readiness: Readiness) -> str:
    if readiness.draining:
        return "draining"
    if not readiness.ready:
        return "not_ready"
    return "degraded" if readiness.degraded else "ready"
