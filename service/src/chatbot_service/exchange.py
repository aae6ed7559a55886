"""What is known of one request and its answer while it is served: written on the way, read by the log, the metrics and the report."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from starlette.types import Scope

from chatbot_service.errors import Problem

CLIENT_CLOSED_REQUEST = 499
"""nginx' status for a client that did not wait; logged, never sent."""

_KEY = "chatbot.exchange"

Outcome = Literal["done", "error", "client_left"]


@dataclass(slots=True)
class Exchange:
    """One request and its answer. `status` is None until the answer begins, `seconds` is what all of it took, at its end.

    Of a repeated header, `headers` holds the last.
    """

    correlation_id: str
    client_ip: str
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    method: str = ""
    path: str = ""
    started: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0
    status: int | None = None
    body_bytes: int = 0
    response_bytes: int = 0
    streamed: bool = False
    outcome: Outcome | None = None
    first_token_seconds: float | None = None
    error_code: str | None = None

    def end(self) -> None:
        """Take the time."""
        self.seconds = self.elapsed_seconds

    def attach(self, scope: Scope) -> None:
        """Make it the exchange of `scope`."""
        scope[_KEY] = self

    @staticmethod
    def of(scope: Scope) -> "Exchange":
        """Return the exchange of `scope`, which Exchanges has attached."""
        exchange: Exchange = scope[_KEY]
        return exchange

    @property
    def elapsed_seconds(self) -> float:
        """Return the time since the request came in."""
        return time.perf_counter() - self.started

    @property
    def final_status(self) -> int:
        """Return the status that was sent, or 499 when the client did not wait for one."""
        return self.status if self.status is not None else CLIENT_CLOSED_REQUEST

    def failed_with(self, problem: Problem) -> None:
        """Note that the answer, which had begun, ends with `problem`."""
        self.outcome = "error"
        self.error_code = problem.code

    @property
    def failed(self) -> bool:
        """Whether we, not the client, are to blame for the answer: an own 5xx, or an error after a 200."""
        return (self.status or 0) >= 500 or (self.status == 200 and self.outcome == "error")
