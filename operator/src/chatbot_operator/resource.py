"""The custom resource as frozen models: what a user may write (spec) and what the operator answers (status).

`crd.py` makes the schema of the CRD from these models, so a description here is what `kubectl explain` prints, a bound here
is enforced by the API server, and a cross-field rule is written once, in CEL, beside the field that it guards.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic.alias_generators import to_camel

from chatbot_operator.errors import SpecInvalid

GROUP = "chatbot.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ChatbotDeployment"
PLURAL = "chatbotdeployments"

Manifest = dict[str, Any]
"""A Kubernetes object as the API speaks it; the one alias for such data."""

MAX_NAME_LENGTH = 50
MAX_PROMPT_BYTES = 32 * 1024
MAX_DRAIN = "1h"
DURATION_PATTERN = r"^([0-9]{1,6}(ms|s|m|h)){1,3}$"

_UNIT_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_CPU_PATTERN = r"^([0-9]{1,6}m?|[0-9]{1,6}\.[0-9]{1,3})$"
_MEMORY_PATTERN = r"^[0-9]{1,15}(\.[0-9]{1,3})?([kMGT]|[KMGT]i)?$"
_DNS_LABEL = r"[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?"
_PORT = r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
_IMAGE_PART = "[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*"
_IMAGE_TAG = "[A-Za-z0-9_][-A-Za-z0-9_.]{0,127}"
_OBJECT_NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_DATA_KEY_PATTERN = r"^\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$"
"""What Secrets and ConfigMaps take as keys: neither `.` nor anything that begins with `..`."""


def duration_milliseconds(duration: str) -> int:
    """Return the length of a duration such as `1m30s`, which must match `DURATION_PATTERN`."""
    return sum(int(number) * _UNIT_MILLISECONDS[unit] for number, unit in re.findall(r"([0-9]+)(ms|s|m|h)", duration))


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """Return the schema extension that holds CEL rules, given as (rule, message).

    Rules run on values that a pattern refuses too: one that breaks on them needs a guard, or it adds an error of CEL's own.
    """
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}


def _quantity(pattern: str, *, maximum: int) -> WithJsonSchema:
    """Return the schema of a quantity; `maximum` bounds one that is written as a bare integer, like `pattern` one that is text."""
    return WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "pattern": pattern,
            "maximum": maximum,
            "maxLength": 20,
            **rules(("!isQuantity(string(self)) || quantity(string(self)).isGreaterThan(quantity('0'))", "must be more than zero")),
        }
    )


# 12 characters keep any sum of hours within what Go's and CEL's int64 of nanoseconds can hold.
Duration = Annotated[str, Field(pattern=DURATION_PATTERN, max_length=12)]
CpuQuantity = Annotated[str, BeforeValidator(str), Field(pattern=_CPU_PATTERN), _quantity(_CPU_PATTERN, maximum=10**6 - 1)]
MemoryQuantity = Annotated[str, BeforeValidator(str), Field(pattern=_MEMORY_PATTERN), _quantity(_MEMORY_PATTERN, maximum=10**15 - 1)]
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=_OBJECT_NAME_PATTERN)]
DataKey = Annotated[str, Field(min_length=1, max_length=253, pattern=_DATA_KEY_PATTERN)]


class Model(BaseModel):
    """A frozen part of the resource: snake_case here, camelCase on the wire; unknown fields of newer versions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class LocalObjectReference(Model):
    """The name of an object in the resource's own namespace."""

    name: ObjectName = Field(description="Name of the object, in the namespace of the resource.", examples=["registry-credentials"])


class ModelSpec(Model):
    """Which model answers, and how much it may say."""

    name: str = Field(
        default="claude-sonnet-5-5",
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9][-A-Za-z0-9._:@/]*$",
        description="Model that answers, by its API identifier; a model that the key may not use holds the rollout.",
        examples=["claude-haiku-5-5"],
    )
    max_tokens: int = Field(
        default=1024, ge=1, le=128_000, description="Upper bound of one answer, in tokens. A longer answer is cut there.", examples=[4096]
    )
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = Field(
        default=None,
        description="How much work the model puts into an answer: more is better, slower and dearer. Unset leaves it to the model.",
        examples=["medium"],
    )


class SecretKeyReference(Model):
    """One key of a Secret in the resource's own namespace."""

    name: ObjectName = Field(
        default="chatbot-secrets",
        description="Name of the Secret, in the namespace of the resource. It may be created later: the pods wait for it.",
        examples=["team-a-anthropic"],
    )
    key: DataKey = Field(
        default="anthropic-api-key", description="Key within the Secret that holds the Anthropic API key.", examples=["api-key"]
    )


class CredentialsSpec(Model):
    """Where the Anthropic API key comes from."""

    secret_ref: SecretKeyReference = Field(
        default=SecretKeyReference(),
        description="Secret that holds the Anthropic API key. A changed key is taken up by the running pods, without a restart.",
    )


class UpstreamSpec(Model):
    """The API that the pods talk to."""

    base_url: str = Field(
        default="https://api.anthropic.com",
        alias="baseURL",
        min_length=1,
        max_length=512,
        description=(
            "Address of the Anthropic API or of a gateway that speaks it: https to a host name, or http to a Service of the cluster"
            " (NAME.NAMESPACE.svc), which must listen on the port of its pods: the chat pods' network policy lets out to that port alone."
        ),
        examples=["https://gateway.example.com/anthropic"],
        json_schema_extra=rules(
            (
                rf"self.matches(r'^https?://(\[[0-9A-Fa-f:.]+\]|{_DNS_LABEL}(\.{_DNS_LABEL})*){_PORT}(/[-A-Za-z0-9._~/]*)?$')",
                "must be http(s)://host[:port][/path] without user name, password, query or fragment",
            ),
            (
                r"!self.matches(r'^[a-z]+://([^/?#]*@)?(\[|([^/?#]*[.])?([0-9]+|0[xX][0-9A-Fa-f]*)[.]?(:[0-9]*)?([/?#]|$))')",
                "must name a host, not an IP address in any spelling",
            ),
            (
                rf"self.startsWith('https://') || self.matches(r'^http://{_DNS_LABEL}\.{_DNS_LABEL}\.svc(\.{_DNS_LABEL})*(:[0-9]+)?(/|$)')",
                "must be https; plain http is for Services of the cluster alone, written NAME.NAMESPACE.svc",
            ),
        ),
    )


class DrainSpec(Model):
    """How a pod that ends finishes its work; its termination grace period is delay + timeout + 5 s."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                (
                    f"![self.delay, self.timeout].all(part, part.matches(r'{DURATION_PATTERN}'))"
                    f" || duration(self.delay) + duration(self.timeout) <= duration('{MAX_DRAIN}')"
                ),
                f"delay and timeout must not exceed {MAX_DRAIN} together",
            ),
        )
    )

    delay: Duration = Field(
        default="5s",
        description="How long a pod that ends still takes new requests, until load balancers leave it out. A duration in h, m, s, ms.",
        examples=["10s"],
    )
    timeout: Duration = Field(
        default="300s",
        description="How long requests in flight may then go on before they are ended with an error. A duration in h, m, s, ms.",
        examples=["2m"],
    )

    @property
    def grace_seconds(self) -> int:
        """Return the pod's termination grace period: delay and timeout, and 5 s to say goodbye."""
        return math.ceil((duration_milliseconds(self.delay) + duration_milliseconds(self.timeout)) / 1000) + 5


class ServiceSpec(Model):
    """The Service in front of the pods."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(
        default="ClusterIP",
        description="Who can reach the chat service: the cluster, its nodes' addresses, or the world.",
        examples=["LoadBalancer"],
    )
    port: int = Field(default=80, ge=1, le=65_535, description="Port on which the Service listens.", examples=[8080])
    annotations: Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=32)] = Field(
        default={},
        description="Annotations of the Service, for example for the cloud's load balancer.",
        examples=[{"service.beta.kubernetes.io/aws-load-balancer-scheme": "internal"}],
        json_schema_extra=rules(
            (
                "self.all(key, !format.qualifiedName().validate(key).hasValue())",
                "keys must be qualified names such as example.com/name, at most 63 characters after the slash",
            ),
            ("self.all(key, !key.startsWith('chatbot.dev/'))", "keys under chatbot.dev/ are the operator's own"),
        ),
    )


class ResourceRequests(Model):
    """What the scheduler reserves for a pod."""

    cpu: CpuQuantity = Field(default="250m", description="CPU reserved for a pod, in cores or thousandths (m).", examples=["500m"])
    memory: MemoryQuantity = Field(default="128Mi", description="Memory reserved for a pod, in bytes (Ki, Mi, Gi).", examples=["256Mi"])


class ResourceLimits(Model):
    """What a pod can have at most."""

    cpu: CpuQuantity = Field(default="1", description="CPU at which a pod is throttled, in cores or thousandths (m).", examples=["2"])
    memory: MemoryQuantity = Field(default="512Mi", description="Memory at which a pod is killed, in bytes (Ki, Mi, Gi).", examples=["1Gi"])


class ResourcesSpec(Model):
    """Compute resources of one pod; each of the four values has its own default."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            *(
                (
                    (
                        f"![self.requests.{name}, self.limits.{name}].all(part, isQuantity(string(part)))"
                        f" || quantity(string(self.requests.{name})).compareTo(quantity(string(self.limits.{name}))) <= 0"
                    ),
                    f"requests.{name} must not exceed limits.{name}; what is not written has its default (see kubectl explain)",
                )
                for name in ("cpu", "memory")
            )
        )
    )

    requests: ResourceRequests = Field(default=ResourceRequests(), description="What the scheduler reserves for each pod.")
    limits: ResourceLimits = Field(default=ResourceLimits(), description="What each pod can have at most.")


class ChatbotSpec(Model):
    """What the user wants."""

    replicas: int = Field(
        default=3,
        ge=0,
        le=1000,
        description="Number of chat pods; 0 stops the service and keeps its address. Written by kubectl scale and autoscalers too.",
        examples=[5],
    )
    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        description="Image of the chat service, with a tag or a digest. Unset means the image that the operator was installed with.",
        examples=["registry.example.com/general-purpose-chatbot:0.1.0"],
        json_schema_extra=rules(
            (
                rf"self.matches(r'^{_IMAGE_PART}(:[0-9]{{1,5}})?(/{_IMAGE_PART})*(:{_IMAGE_TAG})?(@sha256:[0-9a-f]{{64}})?$')",
                "must be an image reference: [registry[:port]/]name:tag or name@sha256:digest, the name in lower case",
            ),
            (
                rf"self.matches(r'^[^@]*:{_IMAGE_TAG}(@|$)') || self.contains('@sha256:')",
                "must have a tag or a digest, so that every pod runs the same program",
            ),
        ),
    )
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field(
        default="IfNotPresent", description="When a node asks the registry for the image.", examples=["Always"]
    )
    image_pull_secrets: Annotated[tuple[LocalObjectReference, ...], Field(max_length=8)] = Field(
        default=(),
        description="Secrets with the registry's credentials, in the namespace of the resource.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    model: ModelSpec = Field(default=ModelSpec(), description="Which model answers, and how much it may say.")
    system_prompt: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_PROMPT_BYTES,
        description="Instructions that the model gets before every conversation. At most 32 KiB, not blank; unset means none.",
        examples=["You answer questions about our products, briefly."],
        json_schema_extra=rules(
            (f"bytes(self).size() <= {MAX_PROMPT_BYTES}", f"must not exceed {MAX_PROMPT_BYTES} bytes of UTF-8"),
            (r"self.matches(r'\S')", "must not be blank: leave the field out for no system prompt"),
        ),
    )
    credentials: CredentialsSpec = Field(default=CredentialsSpec(), description="Where the Anthropic API key comes from.")
    upstream: UpstreamSpec = Field(default=UpstreamSpec(), description="The API that the pods talk to.")
    resources: ResourcesSpec = Field(
        default=ResourcesSpec(), description="Compute resources of one pod; each of the four values has its own default."
    )
    drain: DrainSpec = Field(default=DrainSpec(), description="How a pod that ends finishes its work, so that no answer is lost.")
    service: ServiceSpec = Field(default=ServiceSpec(), description="The Service in front of the pods.")


class State(StrEnum):
    """The resource's condition in one word, for people and dashboards."""

    PENDING = "Pending"
    PROGRESSING = "Progressing"
    READY = "Ready"
    DEGRADED = "Degraded"
    STALLED = "Stalled"
    STOPPED = "Stopped"


class CredentialsState(StrEnum):
    """What is known of the API key; also the words of the pods' reports."""

    ACCEPTED = "Accepted"
    UNVERIFIED = "Unverified"
    MISSING = "Missing"
    REJECTED = "Rejected"


class ModelState(StrEnum):
    """What is known of the model, in the words of the pods' reports."""

    AVAILABLE = "Available"
    UNVERIFIED = "Unverified"
    NOT_FOUND = "NotFound"
    RETIRED = "Retired"


class BreakerState(StrEnum):
    """The circuit breaker's three states, as the pods report them."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


_Count = Annotated[int, Field(ge=0)]


class Condition(Model):
    """One aspect of the state, in the form of the Kubernetes API conventions."""

    type: Annotated[str, Field(max_length=63)] = Field(description="Aspect that the condition speaks of.", examples=["Ready"])
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.", examples=["True"])
    reason: Annotated[str, Field(max_length=63)] = Field(description="One word for programs: why.", examples=["PodsReady"])
    message: Annotated[str, Field(max_length=4096)] = Field(description="A sentence for people: why, and what to do about it.")
    last_transition_time: Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})] = Field(
        description="When the status of the condition last changed.", examples=["2026-11-22T12:00:00Z"]
    )
    observed_generation: int = Field(description="Generation of the resource that the condition speaks of.")


class UpstreamStatus(Model):
    """How the pods find the API that they talk to."""

    breaker: BreakerState | None = Field(default=None, description="The worst state among the pods' circuit breakers for the model.")
    breaker_closed: _Count = Field(description="Pods whose breaker is closed: all is well.")
    breaker_open: _Count = Field(description="Pods whose breaker is open: requests fail fast.")
    breaker_half_open: _Count = Field(description="Pods whose breaker is half open: one request is trying.")
    last_error_type: Annotated[str, Field(max_length=63)] | None = Field(
        default=None, description="Type of the last error that the API answered.", examples=["overloaded_error"]
    )


class CredentialsStatus(Model):
    """What the pods say about the API key."""

    state: CredentialsState = Field(description="What is known of the API key.")
    pods_current: _Count = Field(description="Pods that serve with the key that the Secret holds now.")


class ChatbotStatus(Model):
    """What the operator found, and what it makes of it."""

    observed_generation: int = Field(
        default=-1, description="Generation of the resource that this status speaks of; -1 before the first look."
    )
    replicas: _Count | None = Field(default=None, description="Pods that exist, of any revision.")
    ready_replicas: _Count | None = Field(default=None, description="Pods that are ready to serve.")
    updated_replicas: _Count | None = Field(default=None, description="Pods of the newest revision.")
    selector: Annotated[str, Field(max_length=512)] | None = Field(default=None, description="Label selector of the pods, for autoscalers.")
    ready: Annotated[str, Field(max_length=16)] | None = Field(default=None, description="Ready pods of those wanted.", examples=["2/3"])
    state: State | None = Field(default=None, description="The state in one word.")
    summary: Annotated[str, Field(max_length=1024)] | None = Field(default=None, description="The state in one sentence, with what to do.")
    image: Annotated[str, Field(max_length=512)] | None = Field(default=None, description="Image that the pods of the newest revision run.")
    endpoint: Annotated[str, Field(max_length=512)] | None = Field(
        default=None, description="Address of the chat service within the cluster.", examples=["http://my-bot.my-team.svc"]
    )
    operator_version: Annotated[str, Field(max_length=63)] | None = Field(
        default=None, description="Version of the operator that wrote this."
    )
    upstream: UpstreamStatus | None = Field(default=None, description="How the pods find the API that they talk to.")
    credentials: CredentialsStatus | None = Field(default=None, description="What the pods say about the API key.")
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = Field(
        default=(),
        description="Ready is always there; Reconciling and Stalled only while they are true.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )


class ChatbotResource(Model):
    """A chat service on Claude: apply one, get hardened, scaled pods behind a Service, and a status that tells the truth."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                f"size(self.metadata.name) <= {MAX_NAME_LENGTH} && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                f"metadata.name names a Service: at most {MAX_NAME_LENGTH} lower-case letters, digits and hyphens, a letter first",
            ),
        )
    )

    spec: ChatbotSpec = Field(description="What you want. Every field has a default; {} is a complete chat service.")
    status: ChatbotStatus = Field(default=ChatbotStatus(), description="What the operator found; written by the operator alone.")


@dataclass(frozen=True)
class ChatbotDeployment:
    """One ChatbotDeployment as it was last seen; `status` and `annotations` are kept as the API has them."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: ChatbotSpec
    annotations: Mapping[str, str] = field(default_factory=dict)
    deleting: bool = False
    status: Manifest = field(default_factory=dict)

    @classmethod
    def from_manifest(cls, manifest: Manifest) -> Self:
        """Return the resource in `manifest`, or raise SpecInvalid that names every wrong field."""
        metadata = manifest["metadata"]
        try:
            spec = ChatbotSpec.model_validate(manifest.get("spec") or {})
        except ValidationError as error:
            problems = "; ".join(f"spec.{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors())
            raise SpecInvalid(f"{metadata['namespace']}/{metadata['name']}: {problems}") from error
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            generation=metadata.get("generation", 0),
            spec=spec,
            annotations=metadata.get("annotations") or {},
            deleting="deletionTimestamp" in metadata,
            status=manifest.get("status") or {},
        )
