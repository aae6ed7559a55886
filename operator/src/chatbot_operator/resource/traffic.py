"""What clients may ask of one pod: how much, how big, how long, with which token and from which web pages."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from chatbot_operator.resource.values import PORT_PATTERN, Admission, DataKey, Duration, Model, ObjectName, Timeout, rules

# As the service's settings read it: lower case, no path, no user name; an origin is compared with character by character.
_ORIGIN_PATTERN = rf"^(\*|https?://[a-z0-9]([-a-z0-9._]*[a-z0-9])?{PORT_PATTERN})$"

ProxyNetwork = Annotated[
    str,
    Admission(
        ("isIP(self) || isCIDR(self) && cidr(self) == cidr(self).masked()", "must be an address or a network such as 10.0.0.0/8"),
        min_length=1,
        max_length=43,
    ),
]
Origin = Annotated[str, Admission(min_length=1, max_length=255, pattern=_ORIGIN_PATTERN)]


class LimitsSpec(Model):
    """What one pod takes on; each pod counts for itself, so the whole service takes replicas times as much."""

    request_timeout: Timeout = Field(
        default="30s",
        description="A whole JSON answer, or the first words of a streamed one, waiting and retries included. A duration in h, m, s, ms.",
        examples=["60s"],
    )
    max_request_bytes: Annotated[int, Admission(minimum=1, maximum=67_108_864)] = Field(
        default=10_485_760, description="Largest request body, in bytes; a larger one gets 413.", examples=[1_048_576]
    )
    requests_per_second: Annotated[int, Admission(minimum=1, maximum=1_000_000)] = Field(
        default=100, description="Requests a second that a pod takes; what is beyond gets 429.", examples=[20]
    )
    per_client_requests_per_second: Annotated[int, Admission(minimum=1, maximum=1_000_000)] | None = Field(
        default=None, description="Requests a second that a pod takes from one client. Unset means no limit a client.", examples=[5]
    )
    max_in_flight: Annotated[int, Admission(minimum=1, maximum=10_000)] = Field(
        default=200, description="Requests that a pod serves at once; more of them wait in the queue.", examples=[100]
    )
    queue: Annotated[int, Admission(minimum=0, maximum=10_000)] = Field(
        default=50,
        description="Requests that wait for their turn in a pod; what is beyond gets 503 at once. 0 means no queue.",
        examples=[20],
    )
    queue_timeout: Duration = Field(
        default="5s", description="How long a request waits for its turn before it gets 503. A duration in h, m, s, ms.", examples=["2s"]
    )
    trusted_proxies: Annotated[tuple[ProxyNetwork, ...], Admission(max_items=32, **{"x-kubernetes-list-type": "set"})] = Field(
        default=(),
        description="Addresses and networks of the proxies in front, whose X-Forwarded-For tells one client from another.",
        examples=[["10.0.0.0/8"]],
    )


class ClientTokensReference(Model):
    """One key of a Secret in the resource's own namespace."""

    name: ObjectName = Field(description="Name of the Secret, in the namespace of the resource.", examples=["team-a-tokens"])
    key: DataKey = Field(
        default="tokens",
        description="Key within the Secret that holds the tokens, one a line; changed ones need no restart.",
        examples=["list"],
    )


class ClientAuthSpec(Model):
    """Whether clients must show a token."""

    mode: Literal["None", "Token"] = Field(
        default="None",
        description="None lets everyone in who can reach the Service; Token demands `Authorization: Bearer` with one of the tokens.",
        examples=["Token"],
    )
    secret_ref: ClientTokensReference | None = Field(
        default=None,
        description="Secret that holds the tokens. Unset with mode Token: the operator creates one, named RESOURCE-client-token.",
    )

    @property
    def is_generated(self) -> bool:
        """Whether tokens are asked for and nobody named the Secret that holds them."""
        return self.mode == "Token" and self.secret_ref is None


class ApiSpec(Model):
    """What the pods offer beside the plain chat."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.corsAllowedOrigins) || !('*' in self.corsAllowedOrigins) || size(self.corsAllowedOrigins) == 1",
                "corsAllowedOrigins must hold * alone, or origins",
            )
        )
    )

    cors_allowed_origins: Annotated[tuple[Origin, ...], Admission(max_items=32, **{"x-kubernetes-list-type": "set"})] = Field(
        default=(),
        description="Web origins whose pages may call the service from a browser; `*` alone means all of them.",
        examples=[["https://example.com"]],
    )
