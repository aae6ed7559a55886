"""What the parts of one process share; made once in `server`, handed to the routes and the middleware."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chatbot_service.credentials import Credentials, SystemPrompt
from chatbot_service.errors import NotReady
from chatbot_service.metrics import Metrics
from chatbot_service.readiness import Readiness
from chatbot_service.settings import Settings
from chatbot_service.traffic import Traffic

if TYPE_CHECKING:
    from chatbot_service.upstream import Upstream


@dataclass
class Runtime:
    """The process's state. `upstream` and `credentials` are there once the SDK is loaded."""

    settings: Settings
    prompt: SystemPrompt
    readiness: Readiness
    traffic: Traffic
    metrics: Metrics
    started: float
    loop_lag_seconds: float = 0.0
    upstream: "Upstream | None" = None
    credentials: Credentials | None = None

    @classmethod
    def create(cls, settings: Settings, prompt: SystemPrompt) -> "Runtime":
        """Return the state of a process that has just started."""
        clock = time.monotonic
        return cls(settings, prompt, Readiness(clock=clock), Traffic(clock=clock), Metrics(), started=clock())

    @property
    def uptime_seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.started

    def require_upstream(self) -> "Upstream":
        """Return the client of the model's API; raises NotReady until there is one and a key for it."""
        if self.upstream is None or not self.readiness.has_key:
            raise NotReady(f"The service is not ready: {self.readiness.reason or 'starting'}.")
        return self.upstream
