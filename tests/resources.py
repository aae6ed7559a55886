"""ChatbotDeployments for tests: one with a given spec, and any valid one by hypothesis."""

from typing import Any

from hypothesis import strategies as st

from chatbot_operator.fleet import PodReport
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
    credentials: str = "Accepted",
    model: str = "Available",
    breaker: str = "closed",
    last_error_type: str | None = None,
    state: str = "ready",
) -> PodReport:
    """Return a pod's report."""
    return PodReport.model_validate(
        {
            "version": 1,
            "pod": {"uid": uid, "templateHash": "h1"},
            "state": state,
            "breaker": {"claude-sonnet-5-5": {"state": breaker}},
            "lastErrorType": last_error_type,
            "credentials": {"state": credentials},
            "model": {"name": "claude-sonnet-5-5", "state": model},
        }
    )
