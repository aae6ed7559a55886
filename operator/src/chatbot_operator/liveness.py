"""Who promised to be heard of again, and has not been: what `/livez` is made of.

Every loop that must not stop says, whenever it comes round, within how many seconds it comes round again; a failure of the API
server is no excuse not to, since every request has a timeout.
"""

import time
from collections.abc import Callable, Iterator


class Heartbeats:
    """The promises that are open."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}

    def promise(self, name: str, within_seconds: float) -> None:
        """Say that the loop `name` is alive, and that it says so again in time."""
        self._due[name] = self._clock() + within_seconds

    def end(self, name: str) -> None:
        """Expect nothing more of the loop `name`: it ended on purpose."""
        self._due.pop(name, None)

    def missed(self) -> Iterator[str]:
        """Name the loops that broke their promise."""
        now = self._clock()
        return (f"{name} should have been heard of {now - due:.0f} s ago" for name, due in self._due.items() if due < now)
