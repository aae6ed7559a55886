"""What the operator answers: counts, figures, conditions, and the state in one word and one sentence."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema

from chatbot_operator.resource.values import Model


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


_Percent = Annotated[str, Field(max_length=6)]


class SloStatus(Model):
    """What was measured over the window of spec.slo; a figure is absent while nothing was measured."""

    p95_milliseconds: _Count | None = Field(
        default=None, alias="p95Milliseconds", description="95 of 100 JSON requests were answered within it, in ms.", examples=[820]
    )
    time_to_first_token_p95_milliseconds: _Count | None = Field(
        default=None,
        alias="timeToFirstTokenP95Milliseconds",
        description="95 of 100 streamed answers had begun within it, in ms.",
        examples=[410],
    )
    error_rate_percent: _Percent | None = Field(
        default=None, description="Requests that ended in an error of the service, in percent with two decimals.", examples=["0.25"]
    )
    availability_percent: _Percent | None = Field(
        default=None, description="Requests that were answered, in percent with two decimals.", examples=["99.75"]
    )
    samples: _Count = Field(description="Requests in the window.", examples=[1200])


class UsageStatus(Model):
    """What the pods that run now have used since they started."""

    input_tokens: _Count = Field(description="Tokens that were sent to the model.", examples=[120_000])
    output_tokens: _Count = Field(description="Tokens that the model answered.", examples=[48_000])


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
    slo: SloStatus | None = Field(default=None, description="What was measured over the window of spec.slo.")
    usage: UsageStatus | None = Field(default=None, description="What the pods that run now have used since they started.")
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = Field(
        default=(),
        description="Ready is always there; Reconciling and Stalled only while they are true.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )


BORN = ChatbotStatus(state=State.PENDING, summary="The operator has not looked at this resource yet.")
"""The schema's default: true without a write, and in progress for whoever compares generations."""
