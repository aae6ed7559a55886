"""ChatbotDeployments for tests: one with a given spec, and any valid one by hypothesis."""

from typing import Any

from hypothesis import strategies as st

from chatbot_operator.fleet import PodReport
from chatbot_operator.resource import DURATION_PATTERN, ChatbotDeployment
from chatbot_operator.settings import Settings

SETTINGS = Settings(service_image="general-purpose-chatbot:0.1.0", operator_version="0.1.0")
UID = "7f2f3f0e-0000-4000-8000-000000000001"


def manifest_of(spec: dict[str, Any] | None = None, *, name: str = "bot", namespace: str = "demo", **parts: Any) -> dict[str, Any]:
    """Return a ChatbotDeployment as the API would serve it."""
    metadata = {"name": name, "namespace": namespace, "uid": UID, "generation": 1} | parts.pop("metadata", {})
    return {"apiVersion": "chatbot.dev/v1alpha1", "kind": "ChatbotDeployment", "metadata": metadata, "spec": spec or {}, **parts}


def resource_of(spec: dict[str, Any] | None = None, *, name: str = "bot", namespace: str = "demo", **parts: Any) -> ChatbotDeployment:
    """Return the resource with the given spec; what the spec leaves out has its default."""
    return ChatbotDeployment.from_manifest(manifest_of(spec, name=name, namespace=namespace, **parts))


def _optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


object_names = st.from_regex(r"[a-z]([-a-z0-9]{0,30}[a-z0-9])?", fullmatch=True)
data_keys = st.from_regex(r"\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]{0,40}", fullmatch=True)
durations = st.from_regex(DURATION_PATTERN, fullmatch=True).filter(lambda text: len(text) <= 12 and text.isascii())
prompts = st.text(min_size=1, max_size=200).filter(lambda text: bool(text.strip()))
ports = st.integers(1, 65_535)
hosts = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?(\.[a-z]([-a-z0-9]{0,10}[a-z0-9])?){1,3}", fullmatch=True)
base_urls = st.builds(
    lambda host, port, path: f"https://{host}{port}{path}", hosts, ports.map(lambda port: f":{port}"), st.sampled_from(["", "/", "/v1"])
) | (st.builds(lambda name, namespace, port: f"http://{name}.{namespace}.svc:{port}", object_names, object_names, ports))

specs = _optional(
    replicas=st.integers(0, 1000),
    image=st.sampled_from(["chat:1", "registry.example.com:5000/team/chat:1.2", f"chat@sha256:{'a' * 64}"]),
    imagePullPolicy=st.sampled_from(["IfNotPresent", "Always", "Never"]),
    imagePullSecrets=st.lists(object_names, max_size=8, unique=True).map(lambda found: [{"name": name} for name in found]),
    model=_optional(
        name=st.from_regex(r"[A-Za-z0-9][-A-Za-z0-9._:@/]{0,100}", fullmatch=True),
        maxTokens=st.integers(1, 128_000),
        effort=st.sampled_from(["low", "medium", "high", "xhigh", "max"]),
    ),
    systemPrompt=prompts,
    credentials=_optional(secretRef=_optional(name=object_names, key=data_keys)),
    upstream=_optional(baseURL=base_urls),
    resources=_optional(
        requests=_optional(cpu=st.sampled_from(["250m", "0.5", 1]), memory=st.sampled_from(["128Mi", "0.25Gi", 134217728])),
        limits=_optional(cpu=st.sampled_from(["1000m", "1.5", 2]), memory=st.sampled_from(["512Mi", "1Gi", "536870912"])),
    ),
    drain=_optional(delay=durations, timeout=durations),
    service=_optional(
        type=st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]),
        port=ports,
        annotations=st.dictionaries(st.from_regex(r"example\.com/[a-z]{1,20}", fullmatch=True), st.text(max_size=50), max_size=4),
    ),
)
"""Any spec that the API server would accept."""

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
