"""One pod: its compute resources, its probes, how it ends, and what is added to its environment and metadata."""

from typing import Annotated

from pydantic import ConfigDict, Field

from chatbot_operator.resource.values import (
    DURATION_PATTERN,
    Admission,
    CpuQuantity,
    Duration,
    MemoryQuantity,
    Model,
    Period,
    duration_milliseconds,
    duration_seconds,
    rules,
)

MAX_DRAIN = "1h"

# The variables that the operator sets, or that would change what it has set; the service's own names are the wire contract.
_RESERVED_VARIABLES = (
    "ADMIN_HOST", "ADMIN_PORT", "BREAKER_FAILURE_THRESHOLD", "BREAKER_RESET_TIMEOUT", "CLIENT_AUTH_MODE", "CLIENT_TOKENS_FILE",
    "CORS_ALLOWED_ORIGINS", "DEBUG_ENDPOINTS", "DRAIN_DELAY", "DRAIN_TIMEOUT", "HEALTH_CHECK_TIMEOUT", "LOG_FORMAT", "LOG_LEVEL",
    "MAX_IN_FLIGHT", "MAX_REQUEST_SIZE", "METRICS_ENABLED", "POD_TEMPLATE_HASH", "POD_UID", "PORT", "QUEUE_SIZE", "QUEUE_TIMEOUT",
    "RATE_LIMIT_ENABLED", "RATE_LIMIT_PER_CLIENT_RPS", "RATE_LIMIT_RPS", "REQUEST_TIMEOUT", "RETRY_BUDGET_PERCENT", "SERVICE_NAME",
    "SYSTEM_PROMPT_FILE", "TRUSTED_PROXIES", "UPSTREAM_CONNECT_TIMEOUT", "UPSTREAM_FIRST_BYTE_TIMEOUT", "UPSTREAM_IDLE_TIMEOUT",
    "UPSTREAM_TOTAL_TIMEOUT", "VERSION",
)  # fmt: skip
_RESERVED_PATTERNS = ("ANTHROPIC_.*", "CLAUDE_.*", "PYTHON.*", "LD_.*", "SSL_CERT_.*", "(?i:.*_proxy)")
RESERVED_PATTERN = f"^({'|'.join((*_RESERVED_PATTERNS, *_RESERVED_VARIABLES))})$"


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
        return duration_seconds(f"{duration_milliseconds(self.delay) + duration_milliseconds(self.timeout)}ms") + 5


_Failures = Annotated[int, Admission(minimum=1, maximum=1000)]


class StartupProbeSpec(Model):
    """How long a new pod may take to come up: period times failureThreshold."""

    period: Period = Field(default="1s", description="Time between two checks. A duration of whole seconds.", examples=["2s"])
    failure_threshold: _Failures = Field(
        default=60, description="Failed checks in a row after which a pod that does not come up is restarted.", examples=[120]
    )


class LivenessProbeSpec(Model):
    """When a pod that hangs is restarted; an outage of the API behind it is no reason."""

    period: Period = Field(default="10s", description="Time between two checks. A duration of whole seconds.", examples=["5s"])
    timeout: Period = Field(default="5s", description="How long one check may take. A duration of whole seconds.", examples=["2s"])
    failure_threshold: _Failures = Field(default=6, description="Failed checks in a row after which a pod is restarted.", examples=[3])


class ReadinessProbeSpec(Model):
    """When a pod gets no requests; a key or a model that is refused keeps a new pod unready."""

    period: Period = Field(default="5s", description="Time between two checks. A duration of whole seconds.", examples=["2s"])
    timeout: Period = Field(default="3s", description="How long one check may take. A duration of whole seconds.", examples=["1s"])
    failure_threshold: _Failures = Field(default=2, description="Failed checks in a row after which a pod gets no requests.", examples=[1])


class ProbesSpec(Model):
    """How kubelet finds out that a pod is up, alive and ready; all of them ask the admin port."""

    startup: StartupProbeSpec = Field(default=StartupProbeSpec(), description="How long a new pod may take: period times failureThreshold.")
    liveness: LivenessProbeSpec = Field(default=LivenessProbeSpec(), description="When a pod that hangs is restarted.")
    readiness: ReadinessProbeSpec = Field(default=ReadinessProbeSpec(), description="When a pod gets no requests.")


class EnvironmentVariable(Model):
    """A variable for what the resource has no field for."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                f"!self.name.matches('{RESERVED_PATTERN}')",
                "name is reserved: the spec's own fields set what the service reads, and ANTHROPIC_*, PYTHON*, LD_*, *_PROXY not at all",
            )
        )
    )

    name: Annotated[str, Admission(min_length=1, max_length=128, pattern="^[A-Za-z_][A-Za-z0-9_]*$")] = Field(
        description="Name of the variable; those of the service's settings, of proxies, Python and the loader are refused.", examples=["TZ"]
    )
    value: Annotated[str, Admission(max_length=4096)] = Field(
        default="",
        description="Its value; $(NAME) stands for a variable before it, as in a pod. Not for secrets: the spec is no secret.",
        examples=["Europe/Berlin"],
    )
