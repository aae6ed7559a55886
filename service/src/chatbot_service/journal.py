"""Exchanges that are over, recorded some at a time.

One after the other they find the code that records them in the processor's cache; after each request it would have left it, and
recording cost twice as much.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from chatbot_service.exchange import Exchange
from chatbot_service.output import Output
from chatbot_service.telemetry import stack_trace

SOON_SECONDS = 0.01
MOST = 100
"""Exchanges that wait; the next one ends the waiting of all."""

Record = Callable[[Exchange], None]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Journal:
    """Passes each exchange on to its records, in order, within SOON_SECONDS; their log lines are written together then."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._waiting: deque[tuple[Exchange, Sequence[Record]]] = deque()
        self._soon: asyncio.TimerHandle | None = None

    def add(self, exchange: Exchange, records: Sequence[Record]) -> None:
        """Have each of `records` called with `exchange`; in the event loop only."""
        self._waiting.append((exchange, records))
        if len(self._waiting) > MOST:
            self.settle()
        elif self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(SOON_SECONDS, self._settle_due)

    def settle(self) -> None:
        """Record at once what waits; a thread that is about to end the process may do so, too."""
        with contextlib.suppress(IndexError):  # none is left
            while True:
                _record(*self._waiting.popleft())
        self._output.flush()

    def _settle_due(self) -> None:
        self._soon = None
        self.settle()


def _record(exchange: Exchange, records: Sequence[Record]) -> None:
    for record in records:
        try:
            record(exchange)
        except Exception as error:  # noqa: BLE001  whoever settles has no part in it
            log.error("request not recorded", correlation_id=exchange.correlation_id, stack_trace=stack_trace(error))
