"""The environment as one frozen value, validated at start with every complaint at once.

The names are a contract with the operator, Compose and .env files: a field's variable is its name in capitals. Plain pydantic,
because pydantic-settings takes 0.2 s of CPU to import, which is most of what a pod may take until it is live.
"""

import os
from collections.abc import Mapping
from importlib.metadata import version
from ipaddress import ip_network
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from chatbot_service.durations import format_duration, parse_duration
from chatbot_service.errors import SettingsInvalid


def _seconds(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _parts(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _base_url(value: str) -> str:
    parts = urlsplit(value)
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be printable ASCII without spaces")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be http(s)://host[:port][/path]")
    if parts.username is not None or "?" in value or "#" in value or (parts.port or 1) < 1:
        raise ValueError("must not hold a user name, a query or a fragment")
    return value.rstrip("/")


def _origin(value: str) -> str:
    """Return `value` if it is an origin as browsers send it, which is compared with character by character."""
    parts = urlsplit(value)
    is_origin = parts.scheme in ("http", "https") and value == f"{parts.scheme}://{parts.netloc}" == value.lower()
    if value != "*" and (not is_origin or not parts.hostname or "@" in value):
        raise ValueError("must be origins such as https://example.com, or * alone")
    return value


def _network(value: str) -> str:
    ip_network(value)
    return value


Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0)]
Timeout = Annotated[float, BeforeValidator(_seconds), Field(gt=0)]
Name = Annotated[str, Field(min_length=1, max_length=128)]
Port = Annotated[int, Field(ge=0, le=65_535)]
List = BeforeValidator(_parts)


class Settings(BaseModel):
    """What can be set; durations are in seconds here and written as Go does in the environment, lists are comma-separated."""

    model_config = ConfigDict(frozen=True, validate_default=True, extra="forbid")

    port: Port = Field(default=8080, description="Port of the chat service.")
    admin_port: Port = Field(default=9090, description="Port of /metrics, /report and the probes; not for clients.")
    admin_host: str = Field(
        default_factory=lambda: "0.0.0.0" if "KUBERNETES_SERVICE_HOST" in os.environ else "127.0.0.1",
        description="Address of the admin port: this machine only, unless it runs in a cluster.",
    )
    service_name: Name = Field(default="general-purpose-chatbot", description="The service's name in every log line.")
    version: Name = Field(
        default_factory=lambda: os.environ.get("IMAGE_VERSION") or version("chatbot-service"),
        description="The version that /health shows, if not the one that its image was built as.",
    )

    anthropic_api_key: SecretStr | None = Field(default=None, description="Anthropic API key; for development, a file is safer.")
    anthropic_api_key_file: str | None = Field(default=None, description="File that holds the key; wins over ANTHROPIC_API_KEY.")
    anthropic_base_url: Annotated[str, AfterValidator(_base_url)] = Field(
        default="https://api.anthropic.com", description="The Anthropic API, or a gateway that speaks it."
    )
    anthropic_ca_file: str | None = Field(default=None, description="Certificates to trust besides the system's, as PEM.")

    claude_model: Name = Field(default="claude-sonnet-5-5", description="Model that answers.")
    claude_fallback_models: Annotated[tuple[Name, ...], List, Field(max_length=3)] = Field(
        default=(), description="Models to ask when CLAUDE_MODEL is overloaded, in order."
    )
    claude_max_tokens: int = Field(default=1024, ge=1, le=128_000, description="Upper bound of one answer, in tokens.")
    claude_effort: Literal["low", "medium", "high", "xhigh", "max"] | None = Field(
        default=None, description="How much work the model puts into an answer."
    )
    system_prompt_file: str | None = Field(default=None, description="File with the instructions that precede every conversation.")

    upstream_connect_timeout: Timeout = Field(default=5, description="To connect to the API.")
    upstream_first_byte_timeout: Timeout = Field(default=15, description="Until the API begins to answer.")
    request_timeout: Timeout = Field(default=30, description="A whole JSON answer; the first words of a streamed one.")
    upstream_total_timeout: Timeout = Field(default=600, description="A whole streamed answer.")
    upstream_idle_timeout: Timeout = Field(default=60, description="Between two pieces of a streamed answer.")

    anthropic_max_retries: int = Field(default=3, ge=1, le=10, description="Attempts in all.")
    anthropic_initial_backoff: Seconds = Field(default=1, description="Upper bound of the wait after the first attempt.")
    anthropic_max_backoff: Seconds = Field(default=10, description="Upper bound of any wait between attempts.")
    retry_budget_percent: int = Field(default=20, ge=0, le=100, description="Retries, as a share of the requests.")
    breaker_failure_threshold: int = Field(default=5, ge=1, description="Consecutive failures that open the circuit breaker.")
    breaker_reset_timeout: Timeout = Field(default=30, description="How long an open breaker rests before it probes.")

    max_request_size: int = Field(default=10_485_760, ge=1, description="Largest request body, in bytes.")
    rate_limit_enabled: bool = Field(default=True, description="Whether RATE_LIMIT_RPS and RATE_LIMIT_PER_CLIENT_RPS hold.")
    rate_limit_rps: int = Field(default=100, ge=1, description="Requests a second.")
    rate_limit_per_client_rps: int | None = Field(default=None, ge=1, description="Requests a second of one client.")
    trusted_proxies: Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], List] = Field(
        default=(), description="Networks whose X-Forwarded-For is believed."
    )
    max_in_flight: int = Field(default=200, ge=1, description="Requests served at once.")
    queue_size: int = Field(default=50, ge=0, description="Requests that wait for their turn.")
    queue_timeout: Seconds = Field(default=5, description="How long they wait.")
    cors_allowed_origins: Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], List] = Field(
        default=(), description="Web origins that may call the API, for example https://yourdomain.com; * alone for all."
    )
    client_auth_mode: Literal["None", "Token"] = Field(default="None", description="Whether clients must show a token.")
    client_tokens_file: str | None = Field(default=None, description="File with the clients' tokens, one a line.")

    drain_delay: Seconds = Field(default=5, description="How long a stopping service keeps taking requests.")
    drain_timeout: Seconds = Field(default=300, description="How long requests in flight may then go on.")
    health_check_timeout: Timeout = Field(default=10, description="One check of key and model.")

    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level that is logged.")
    log_format: Literal["json", "console"] = Field(default="json", description="One JSON object a line, or text for people.")
    metrics_enabled: bool = Field(default=True, description="Whether the admin port serves /metrics.")
    debug_endpoints: bool = Field(default=False, description="Whether the admin port serves /debug.")
    pod_uid: str = Field(default="", max_length=128, description="The pod's uid; set by the operator.")
    pod_template_hash: str = Field(default="", max_length=128, description="The pod's revision; set by the operator.")

    @field_validator(
        "upstream_first_byte_timeout", "request_timeout", "upstream_total_timeout", "upstream_idle_timeout", "anthropic_max_backoff"
    )
    @classmethod
    def _ordered(cls, value: float, info: ValidationInfo) -> float:
        """Compare with a field that is declared, and so validated, before; a wrong one has its own complaint already."""
        field = str(info.field_name)
        other, sign, word = _ORDER[field]
        bound = info.data.get(other)
        if bound is not None and (value - bound) * sign < 0:
            raise ValueError(f"({format_duration(value)}) {word} {other.upper()} ({format_duration(bound)})")
        return value

    @field_validator("claude_fallback_models")
    @classmethod
    def _distinct(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if len({*value, info.data.get("claude_model")}) <= len(value):
            raise ValueError("must not repeat a model, nor CLAUDE_MODEL")
        return value

    @field_validator("cors_allowed_origins")
    @classmethod
    def _star_alone(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "*" in value and len(value) > 1:
            raise ValueError("* must stand alone")
        return value

    @field_validator("client_tokens_file")
    @classmethod
    def _tokens_to_ask_for(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("client_auth_mode") == "Token":
            raise ValueError("must be set when CLIENT_AUTH_MODE is Token")
        return value

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Return the settings in `environ`, an empty variable being an unset one; raises SettingsInvalid with every complaint."""
        values = {field: text for field in cls.model_fields if (text := environ.get(field.upper(), ""))}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SettingsInvalid([_complaint(item["loc"], item["msg"]) for item in error.errors(include_input=False)]) from None


_ORDER = {
    "upstream_first_byte_timeout": ("upstream_connect_timeout", 1, "is less than"),
    "request_timeout": ("upstream_first_byte_timeout", 1, "is less than"),
    "upstream_total_timeout": ("request_timeout", 1, "is less than"),
    "upstream_idle_timeout": ("upstream_total_timeout", -1, "exceeds"),
    "anthropic_max_backoff": ("anthropic_initial_backoff", 1, "is less than"),
}


def _complaint(location: tuple[int | str, ...], message: str) -> str:
    text = message.removeprefix("Value error, ")
    return f"{str(location[0]).upper()}: {text[:1].lower()}{text[1:]}"
