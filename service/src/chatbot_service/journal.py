"""Exchanges that are over, recorded some at a time.

One after the other they find the code that records them in the processor's cache; after each request it would have left it, and
recording cost twice as much.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from chatbot_service.exchange import Exchange
from chatbot_service.output import Output

SOON_SECONDS = 0.01
MOST = 100
"""Exchanges that wait; the next one ends the waiting of all."""

Record = Callable[[Exchange], None]


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
        """Record at once what waits."""
        while self._waiting:
            exchange, records = self._waiting.popleft()
            for record in records:
                record(exchange)
        self._output.flush()

    def _settle_due(self) -> None:
        self._soon = None
        self.settle()
