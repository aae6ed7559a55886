"""What the parts of one process share; made once in `server`, handed to the routes and the middleware."""

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chatbot_service.credentials import Credentials
from chatbot_service.drain import Drain
from chatbot_service.errors import NotReady
from chatbot_service.files import SystemPrompt
from chatbot_service.metrics import Metrics
from chatbot_service.output import Output
from chatbot_service.readiness import Readiness
from chatbot_service.resilience.breaker import BreakerState
from chatbot_service.settings import Settings
from chatbot_service.traffic import Traffic

if TYPE_CHECKING:
    from chatbot_service.calls import Calls
    from chatbot_service.upstream import Upstream


@dataclass
class Runtime:
    """The process's state. `upstream`, `calls` and `credentials` are there once the SDK is loaded."""

    settings: Settings
    prompt: SystemPrompt
    readiness: Readiness
    traffic: Traffic
    metrics: Metrics
    drain: Drain
    output: Output
    started: float
    connections: Collection[object] = ()
    loop_lag_seconds: float = 0.0
    upstream: "Upstream | None" = None
    calls: "Calls | None" = None
    credentials: Credentials | None = None

    @classmethod
    def create(cls, settings: Settings, prompt: SystemPrompt, *, output: Output | None = None) -> "Runtime":
        """Return the state of a process that has just started."""
        clock = time.monotonic
        return cls(
            settings,
            prompt,
            Readiness(clock=clock),
            Traffic(clock=clock),
            Metrics(),
            Drain(delay_seconds=settings.drain_delay, timeout_seconds=settings.drain_timeout),
            output if output is not None else Output.standard(),
            started=clock(),
        )

    @property
    def uptime_seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.started

    @property
    def degraded(self) -> bool:
        """Whether the model's API fails, by the breaker of the model, or could not be asked whether it takes the key."""
        breaker = self.calls.breakers[self.settings.claude_model] if self.calls is not None else None
        return self.readiness.unverified or (breaker is not None and breaker.state is not BreakerState.CLOSED)

    def require_calls(self) -> "Calls":
        """Return what asks the model's API; raises NotReady until there is a key for it."""
        if self.calls is None or not self.readiness.has_key:
            raise NotReady(f"The service is not ready: {self.readiness.reason or 'starting'}.")
        return self.calls
