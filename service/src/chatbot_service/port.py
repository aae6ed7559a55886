"""What the connections of one port have in common: how patient they are, how many there are, and whether the port is being given up."""

import asyncio
from collections import Counter
from dataclasses import dataclass

from uvicorn.server import ServerState


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds a client may take."""

    head: float = 10.0
    """From the connection, or from the first byte of a later head, to the head's end."""
    next_request: int = 75
    reading: float = 30.0
    """Without taking in a single byte of what waits for it."""
    farewell: float = 3.0
    """To take in the answer to a request that it has not sent to its end."""


class Port(ServerState):
    """What the connections of one port share. `refusals` counts by status; once `ending`, every answer is the last of its connection."""

    def __init__(self, patience: Patience) -> None:
        super().__init__()
        self.patience = patience
        self.refusals: Counter[int] = Counter()
        self.ending = False
        self.connection_left = asyncio.Event()
