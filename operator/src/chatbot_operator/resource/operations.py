"""How the service is run: how many pods, how a change is rolled out, what is promised, and what is logged and measured."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from chatbot_operator.resource.exposure import Peers
from chatbot_operator.resource.values import (
    DURATION_PATTERN,
    Admission,
    CountOrPercent,
    Duration,
    FurtherLabels,
    Model,
    Percentage,
    Timeout,
    at_most,
    rules,
)


class AutoscalingSpec(Model):
    """The operator's own scaling, by the requests in flight that the pods report; HPA and KEDA write /scale instead."""

    model_config = ConfigDict(json_schema_extra=rules(("self.minReplicas <= self.maxReplicas", "minReplicas must not exceed maxReplicas")))

    enabled: bool = Field(
        default=False,
        description="Whether the operator decides the number of pods. Then spec.replicas has no effect, except that 0 stops the service.",
        examples=[True],
    )
    min_replicas: Annotated[int, Admission(minimum=1, maximum=1000)] = Field(default=2, description="Pods at least.", examples=[3])
    max_replicas: Annotated[int, Admission(minimum=1, maximum=1000)] = Field(default=10, description="Pods at most.", examples=[50])
    target_in_flight_per_pod: Annotated[int, Admission(minimum=1, maximum=10_000)] = Field(
        default=20, description="Requests in flight that one pod should have on average; below limits.maxInFlight.", examples=[50]
    )
    scale_down_stabilization: Annotated[Duration, Admission(at_most("1h"))] = Field(
        default="300s",
        description="How long fewer pods must have been enough before some are taken away. A duration in h, m, s, ms.",
        examples=["10m"],
    )


class RolloutSpec(Model):
    """How a change reaches the pods."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "![self.maxSurge, self.maxUnavailable].all(part, string(part).matches('^0+%?$'))",
                "maxSurge and maxUnavailable must not both be 0: no pod could ever be replaced",
            ),
            (
                (
                    f"!self.progressDeadline.matches(r'{DURATION_PATTERN}')"
                    " || duration(self.progressDeadline).getSeconds() > self.minReadySeconds"
                ),
                "progressDeadline must be longer than minReadySeconds",
            ),
        )
    )

    max_surge: CountOrPercent = Field(
        default=1, description="Pods beyond the replicas during a rollout, as a number or a share.", examples=["25%"]
    )
    max_unavailable: CountOrPercent = Field(
        default=0, description="Replicas that may be missing during a rollout, as a number or a share.", examples=["10%"]
    )
    min_ready_seconds: Annotated[int, Admission(minimum=0, maximum=300)] = Field(
        default=5, description="Seconds that a new pod must stay ready before it counts.", examples=[30]
    )
    progress_deadline: Annotated[Timeout, Admission(at_most("24h"))] = Field(
        default="600s",
        description="How long a rollout may go without progress before it is Stalled. A duration in h, m, s, ms.",
        examples=["20m"],
    )


class SloSpec(Model):
    """What the service promises; the condition SLOMet says whether it is kept. It changes nothing else."""

    p95: Timeout = Field(
        default="3s", description="95 of 100 JSON requests are answered within it. A duration in h, m, s, ms.", examples=["1500ms"]
    )
    error_rate_percent: Percentage = Field(
        default="1", description="Requests at most that end in an error of the service, in percent.", examples=["0.5"]
    )
    availability_percent: Percentage = Field(
        default="99.9", description="Requests at least that are answered, in percent. Quote a fraction.", examples=["99.95"]
    )
    window: Literal["5m", "1h"] = Field(default="1h", description="Time over which it is measured.", examples=["5m"])
    min_samples: Annotated[int, Admission(minimum=1, maximum=1_000_000)] = Field(
        default=100, description="Requests in the window below which nothing is judged.", examples=[1000]
    )


class LoggingSpec(Model):
    """What the pods write to their log: one line a request, never a prompt, an answer or a key."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged.", examples=["warning"]
    )
    format: Literal["json", "console"] = Field(
        default="json", description="One JSON object a line, or text for people.", examples=["console"]
    )


class MonitoringSpec(Model):
    """How Prometheus finds the pods' metrics, which are on port 9090 at /metrics."""

    pod_monitor: bool = Field(
        default=False,
        description="Whether there is a PodMonitor for the Prometheus operator; without that operator in the cluster it has no effect.",
        examples=[True],
    )
    labels: FurtherLabels = Field(
        default={}, description="Labels of the PodMonitor, by which a Prometheus selects it.", examples=[{"release": "prometheus"}]
    )
    from_: Peers = Field(
        default=(),
        alias="from",
        description="Who may connect to port 9090 beside the operator. Empty means the pods of the namespace monitoring.",
        examples=[[{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "prometheus"}}}]],
    )
