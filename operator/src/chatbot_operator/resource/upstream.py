"""The API behind the pods: its address, how long they wait for it, how often they try, and when they stop."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field

from chatbot_operator.resource.values import (
    PORT_PATTERN,
    Admission,
    DataKey,
    Duration,
    Model,
    ObjectName,
    Timeout,
    compare_durations,
    rules,
)

_DNS_LABEL = r"[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?"


def _with_host(url: str) -> str:
    """Return `url` if the network policy can be made from it; what else is wrong with it, the API server says."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("must be http(s)://host[:port][/path]")
    return url


BaseUrl = Annotated[
    str,
    AfterValidator(_with_host),
    Admission(
        (
            rf"self.matches(r'^https?://(\[[0-9A-Fa-f:.]+\]|{_DNS_LABEL}(\.{_DNS_LABEL})*){PORT_PATTERN}(/[-A-Za-z0-9._~/]*)?$')",
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
        min_length=1,
        max_length=512,
    ),
]


class CaBundleReference(Model):
    """One key of a ConfigMap in the resource's own namespace."""

    name: ObjectName = Field(description="Name of the ConfigMap, in the namespace of the resource.", examples=["company-ca"])
    key: DataKey = Field(
        default="ca.crt", description="Key within the ConfigMap that holds the certificates, as PEM.", examples=["bundle.pem"]
    )


class TimeoutsSpec(Model):
    """How long the pods wait for the API; a whole JSON answer is bounded by limits.requestTimeout."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            compare_durations("self.connect", "<=", "self.firstByte", "connect must not exceed firstByte"),
            compare_durations("self.idle", "<=", "self.total", "idle must not exceed total"),
        )
    )

    connect: Timeout = Field(default="5s", description="To connect to the API. A duration in h, m, s, ms.", examples=["3s"])
    first_byte: Timeout = Field(
        default="15s",
        description="Until the API begins to answer; not above limits.requestTimeout. A duration in h, m, s, ms.",
        examples=["10s"],
    )
    idle: Timeout = Field(
        default="60s",
        description="Between two pieces of a streamed answer, before it counts as broken. A duration in h, m, s, ms.",
        examples=["30s"],
    )
    total: Timeout = Field(
        default="600s", description="A whole streamed answer; not below limits.requestTimeout. A duration in h, m, s, ms.", examples=["5m"]
    )


class RetriesSpec(Model):
    """How often the pods ask again after an error that may pass, never once an answer has begun."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            compare_durations("self.initialBackoff", "<=", "self.maxBackoff", "initialBackoff must not exceed maxBackoff")
        )
    )

    max_attempts: Annotated[int, Admission(minimum=1, maximum=10)] = Field(
        default=3, description="Attempts in all, the first one included; 1 means no retries.", examples=[2]
    )
    initial_backoff: Duration = Field(
        default="1s",
        description="Upper bound of the random wait after the first attempt; it doubles from there. A duration in h, m, s, ms.",
        examples=["500ms"],
    )
    max_backoff: Duration = Field(
        default="10s", description="Upper bound of any wait between two attempts. A duration in h, m, s, ms.", examples=["5s"]
    )
    budget_percent: Annotated[int, Admission(minimum=0, maximum=100)] = Field(
        default=20, description="Retries at most, in percent of the requests, so that retries do not feed an outage.", examples=[10]
    )


class CircuitBreakerSpec(Model):
    """When a pod stops asking an API that fails, and how long it lets it rest."""

    failure_threshold: Annotated[int, Admission(minimum=1, maximum=1000)] = Field(
        default=5, description="Failures in a row that open the breaker: requests are then refused at once.", examples=[10]
    )
    reset_timeout: Timeout = Field(
        default="30s",
        description="How long an open breaker rests before one request may try again. A duration in h, m, s, ms.",
        examples=["1m"],
    )


class UpstreamSpec(Model):
    """The API that the pods talk to."""

    base_url: BaseUrl = Field(
        default="https://api.anthropic.com",
        alias="baseURL",
        description=(
            "Address of the Anthropic API or of a gateway that speaks it: https to a host name, or http to a Service of the cluster"
            " (NAME.NAMESPACE.svc), which must listen on the port of its pods: the chat pods' network policy lets out to that port alone."
        ),
        examples=["https://gateway.example.com/anthropic"],
    )
    ca_bundle_ref: CaBundleReference | None = Field(
        default=None, description="ConfigMap with certificates to trust beside the well-known ones, for a gateway with its own authority."
    )
    timeouts: TimeoutsSpec = Field(default=TimeoutsSpec(), description="How long the pods wait for the API.")
    retries: RetriesSpec = Field(default=RetriesSpec(), description="How often the pods ask again after an error that may pass.")
    circuit_breaker: CircuitBreakerSpec = Field(
        default=CircuitBreakerSpec(), description="When a pod stops asking an API that fails, and how long it lets it rest."
    )
