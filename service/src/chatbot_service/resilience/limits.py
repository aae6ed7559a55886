"""How many requests a second are let in, of all clients together and of each of them. Pure: the clock is injected.

A limit of n lets n requests in at once, and then one every nth of a second. All that is kept for it is one moment: when what it has
let in would be through at an even rate, which may be a second ahead (the generic cell rate algorithm of ITU-T I.371). Time is counted
in whole nanoseconds, so that n times an nth is never more than a second.
"""

from collections.abc import Callable

from chatbot_service.errors import RateLimited

SECOND = 1_000_000_000


class Limits:
    """The limit of this pod and, if there is one, of each client; `on_refused` is told which of both is reached.

    `clock` returns nanoseconds and never goes back.
    """

    def __init__(
        self, per_second: int, *, per_client_per_second: int | None, clock: Callable[[], int], on_refused: Callable[[str], None]
    ) -> None:
        self._step = SECOND // per_second
        self._client_step = SECOND // per_client_per_second if per_client_per_second is not None else None
        self._through = 0
        self._clients = Clients()
        self._clock = clock
        self._on_refused = on_refused

    def admit(self, client: str) -> None:
        """Let one request of `client` in; raises RateLimited. A refused one counts against neither limit."""
        now = self._clock()
        if self._client_step is None:
            self._through = self._after_one_more(self._through, now, step=self._step, scope="pod")
            return
        client_through = self._after_one_more(self._clients.through(client, now), now, step=self._client_step, scope="client")
        self._through = self._after_one_more(self._through, now, step=self._step, scope="pod")
        self._clients.let_in(client, client_through)

    def _after_one_more(self, through: int, now: int, *, step: int, scope: str) -> int:
        after = max(through, now) + step
        if after - now > SECOND:
            self._on_refused(scope)
            raise RateLimited(_DETAILS[scope], retry_after_seconds=(after - now - SECOND) / SECOND)
        return after


class Clients:
    """When each client's requests would be through, as long as that is not over.

    Kept in two generations, each of a second or more: a moment is never more than a second ahead, so it is over when its generation
    is dropped. That is all there is to forgetting clients, and there are never more of them than requests let in.
    """

    def __init__(self) -> None:
        self._young: dict[str, int] = {}
        self._old: dict[str, int] = {}
        self._born = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def through(self, client: str, now: int) -> int:
        """Return the moment of `client`, or one that is over."""
        if now - self._born >= SECOND:
            self._young, self._old, self._born = {}, self._young, now
        return self._young.get(client) or self._old.get(client, 0)

    def let_in(self, client: str, through: int) -> None:
        """Set the moment of `client`."""
        self._young[client] = through


_DETAILS = {
    "pod": "This pod gets more requests than it may take.",
    "client": "This client sends more requests than one client may.",
}
