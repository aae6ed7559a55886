"""ChatbotDeployments for tests: one with a given spec, and any valid one by hypothesis."""

from typing import Any

from hypothesis import strategies as st

from chatbot_operator.pod_report import PodReport
from chatbot_operator.resource import ChatbotDeployment
from chatbot_operator.settings import Settings
from tests.specs import specs

SETTINGS = Settings(service_image="general-purpose-chatbot:0.1.0", operator_version="0.1.0")
UID = "7f2f3f0e-0000-4000-8000-000000000001"


def manifest_of(spec: dict[str, Any] | None = None, *, name: str = "bot", namespace: str = "demo", **parts: Any) -> dict[str, Any]:
    """Return a ChatbotDeployment as the API would serve it."""
    metadata = {"name": name, "namespace": namespace, "uid": UID, "generation": 1} | parts.pop("metadata", {})
    return {"apiVersion": "chatbot.dev/v1alpha1", "kind": "ChatbotDeployment", "metadata": metadata, "spec": spec or {}, **parts}


def resource_of(spec: dict[str, Any] | None = None, *, name: str = "bot", namespace: str = "demo", **parts: Any) -> ChatbotDeployment:
    """Return the resource with the given spec; what the spec leaves out has its default."""
    return ChatbotDeployment.from_manifest(manifest_of(spec, name=name, namespace=namespace, **parts))


names_of_resources = st.from_regex(r"[a-z]([-a-z0-9]{0,48}[a-z0-9])?", fullmatch=True)
resources = st.builds(lambda spec, name: resource_of(spec, name=name), specs, names_of_resources)


def report_of(
    uid: str,
    *,
    revision: str = "h1",
    credentials: str = "Accepted",
    key_changed_at: str | None = None,
    model: str = "Available",
    breaker: str = "closed",
    last_error_type: str | None = None,
    state: str = "ready",
    lifecycle: str | None = None,
    days_to_retirement: int | None = None,
    **parts: Any,
) -> PodReport:
    """Return a pod's report; `parts` are spelled as on the wire."""
    return PodReport.model_validate(
        {
            "version": 1,
            "pod": {"uid": uid, "templateHash": revision},
            "state": state,
            "breaker": {"claude-sonnet-5-5": {"state": breaker}},
            "lastErrorType": last_error_type,
            "credentials": {"state": credentials, "fingerprintChangedAt": key_changed_at},
            "model": {"name": "claude-sonnet-5-5", "state": model, "lifecycle": lifecycle, "daysToRetirement": days_to_retirement},
        }
        | parts
    )


def window_of(
    requests: int,
    *,
    errors: int = 0,
    latency: tuple[int, ...] = (),
    first_token: tuple[int, ...] = (),
    bounds: tuple[int, ...] = (100, 1000),
) -> dict[str, Any]:
    """Return a window of a report, with counts by `bounds` (in ms) and one more for what exceeds them."""
    return {
        "requests": requests,
        "errors": errors,
        "latencyMs": {"bounds": bounds, "counts": latency},
        "firstTokenMs": {"bounds": bounds, "counts": first_token},
    }
