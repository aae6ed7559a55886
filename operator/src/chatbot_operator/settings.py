"""The operator's own settings, read from `OPERATOR_*` variables; every error is reported at once."""

from importlib.metadata import version
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from chatbot_operator.errors import SettingsInvalid

NamespaceName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]


class Settings(BaseSettings):
    """What an administrator can set; the chart renders one variable a field."""

    model_config = SettingsConfigDict(env_prefix="OPERATOR_", frozen=True, env_ignore_empty=True)

    service_image: str = Field(min_length=1, description="Image of the chat pods wherever spec.image is not set.")
    operator_version: str = Field(default_factory=lambda: version("chatbot-operator"), description="Shown in the status of every resource.")
    namespace: str = Field(
        default="chatbot-system", description="Where the operator itself runs: its Lease lives there, its probes come from there."
    )
    watch_namespaces: Annotated[tuple[NamespaceName, ...], NoDecode] = Field(
        default=(), description="Comma-separated, no patterns; empty means the whole cluster."
    )

    workers: int = Field(default=8, ge=1, le=64, description="Reconciles in flight at once.")
    request_timeout_seconds: float = Field(default=20, ge=1, le=120, description="Upper bound of one request to the API server.")
    resync_interval_seconds: float = Field(default=600, ge=1, description="A full list, so that nothing missed stays missed.")
    watch_timeout_seconds: int = Field(default=270, ge=10, le=600, description="How long one watch is kept open.")

    report_interval_seconds: float = Field(default=15, ge=1, le=600, description="Between two polls of the pods' reports; jittered.")
    report_timeout_seconds: float = Field(default=2, ge=0.1, le=30, description="Upper bound of one poll.")
    report_concurrency: int = Field(default=64, ge=1, le=512, description="Polls in flight at once.")
    secret_grace_seconds: float = Field(
        default=180, ge=0, description="How long a missing Secret is waited for before it counts as Stalled."
    )

    leader_election: bool = Field(default=True, description="Several replicas of the operator, one of them working.")
    lease_name: str = Field(default="chatbot-operator", min_length=1, max_length=63)
    lease_duration_seconds: int = Field(default=15, ge=3, le=120, description="A standby takes over after this long without renewal.")
    lease_renew_seconds: float = Field(default=5, ge=0.5, le=60, description="Between two renewals.")
    pod_name: str = Field(default="", description="The identity that holds the Lease; the host name when empty.")

    http_host: str = Field(default="0.0.0.0", description="Where /livez, /readyz and /metrics are served.")
    http_port: int = Field(default=8080, ge=1, le=65535)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"

    @field_validator("watch_namespaces", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @classmethod
    def from_environment(cls) -> Self:
        """Return the settings of this process, or raise SettingsInvalid with a line for each wrong variable."""
        try:
            return cls()
        except ValidationError as error:
            lines = (f"OPERATOR_{'.'.join(str(part) for part in item['loc']).upper()}: {item['msg']}" for item in error.errors())
            raise SettingsInvalid("\n".join(lines)) from error
