"""What the parts of one process share; made once in `server`, handed to the routes and the middleware."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chatbot_service.bodies import Bodies
from chatbot_service.credentials import Credentials
from chatbot_service.drain import Drain
from chatbot_service.errors import NotReady
from chatbot_service.files import SystemPrompt, WatchedFile
from chatbot_service.journal import Journal
from chatbot_service.lifeline import Lifelines
from chatbot_service.metrics import Metrics
from chatbot_service.output import Output
from chatbot_service.readiness import Readiness
from chatbot_service.resilience.breaker import BreakerState
from chatbot_service.resilience.limits import Limits
from chatbot_service.resilience.shedding import Slots
from chatbot_service.settings import Settings
from chatbot_service.tokens import Tokens
from chatbot_service.traffic import Traffic

if TYPE_CHECKING:
    from chatbot_service.calls import Calls
    from chatbot_service.upstream import Upstream


@dataclass(kw_only=True)
class Runtime:
    """The process's state. `upstream`, `calls` and `credentials` are there once the SDK is loaded; `limits` and `tokens` if asked for."""

    settings: Settings
    prompt: SystemPrompt
    readiness: Readiness
    traffic: Traffic
    metrics: Metrics
    lifelines: Lifelines
    drain: Drain
    output: Output
    journal: Journal
    slots: Slots
    bodies: Bodies
    limits: Limits | None
    tokens: Tokens | None
    started: float
    connections: Collection[object] = ()
    requests: Collection[object] = ()
    refusals: Mapping[int, int] = field(default_factory=dict)
    loop_lag_seconds: float = 0.0
    upstream: "Upstream | None" = None
    calls: "Calls | None" = None
    credentials: Credentials | None = None

    @classmethod
    def create(cls, settings: Settings, prompt: SystemPrompt, *, output: Output | None = None) -> "Runtime":
        """Return the state of a process that has just started."""
        clock = time.monotonic
        output = output if output is not None else Output.standard()
        metrics, lifelines = Metrics(), Lifelines()
        return cls(
            settings=settings,
            prompt=prompt,
            readiness=Readiness(clock=clock),
            traffic=Traffic(clock=clock),
            metrics=metrics,
            lifelines=lifelines,
            drain=Drain(lifelines, delay_seconds=settings.drain_delay, timeout_seconds=settings.drain_timeout),
            output=output,
            journal=Journal(output),
            slots=_slots(settings, metrics),
            bodies=Bodies(settings.max_request_size, within_seconds=settings.request_timeout, on_refused=metrics.shed),
            limits=_limits(settings, metrics),
            tokens=_tokens(settings),
            started=clock(),
        )

    @property
    def uptime_seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.started

    @property
    def degraded(self) -> bool:
        """Whether the model's API fails, by the breaker of the model, refuses key or model, or could not be asked about them."""
        if self.readiness.unverified or self.readiness.refused:
            return True
        return self.calls is not None and self.calls.breakers[self.settings.claude_model].state is not BreakerState.CLOSED

    def require_calls(self) -> "Calls":
        """Return what asks the model's API; raises NotReady until there is a key for it."""
        if self.calls is None or not self.readiness.has_key:
            raise NotReady(f"The service is not ready: {self.readiness.reason or 'starting'}.")
        return self.calls


def _slots(settings: Settings, metrics: Metrics) -> Slots:
    return Slots(
        settings.max_in_flight, queue_size=settings.queue_size, queue_timeout_seconds=settings.queue_timeout, on_refused=metrics.shed
    )


def _limits(settings: Settings, metrics: Metrics) -> Limits | None:
    if not settings.rate_limit_enabled:
        return None
    per_client = settings.rate_limit_per_client_rps
    return Limits(settings.rate_limit_rps, per_client_per_second=per_client, clock=time.monotonic_ns, on_refused=metrics.rate_limited)


def _tokens(settings: Settings) -> Tokens | None:
    """Return the tokens, read for the first time: from the first request on nobody comes in without one."""
    if settings.client_auth_mode != "Token" or settings.client_tokens_file is None:
        return None
    tokens = Tokens(WatchedFile(settings.client_tokens_file))
    tokens.refresh()
    return tokens
