"""Whether what exists was listed once, before which nothing may be taken for missing.

Owns what is still waited for; it lists nothing itself. A namespace that refuses its lists, as one does whose Roles were deleted with it,
keeps the others from nothing.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from chatbot_operator import errors

DENIED_SECONDS: Final = 60.0
"""The longest pause between two tries to list what one of several namespaces denies."""
_CERTAIN_AFTER: Final = 2
"""Refusals in a row: a single one may come from an API server that has just started."""


class FirstLists:
    """The lists of every kind in every namespace (None: all of them), each until it succeeded once."""

    def __init__(self, kinds: Iterable[str], namespaces: Iterable[str | None]) -> None:
        self._namespaces = frozenset(namespaces)
        self._awaited = {(kind, namespace) for kind in kinds for namespace in self._namespaces}
        self._refusals: Counter[tuple[str, str | None]] = Counter()
        self._spared: set[tuple[str, str | None]] = set()
        self._complete = asyncio.Event()
        self._listed = {namespace: asyncio.Event() for namespace in self._namespaces}

    @property
    def complete(self) -> bool:
        """Whether a whole namespace was listed, and of the others what they do not refuse."""
        return self._complete.is_set()

    async def wait(self) -> None:
        """Return once they are complete."""
        await self._complete.wait()

    def has(self, namespace: str | None) -> bool:
        """Tell whether every kind in `namespace` was listed."""
        return self._listed[namespace].is_set()

    async def wait_for(self, namespace: str | None) -> None:
        """Return once every kind in `namespace` was listed."""
        await self._listed[namespace].wait()

    def succeeded(self, kind: str, namespace: str | None) -> None:
        """Take that there is nothing (more) to wait for in the list of `kind`."""
        self._refusals.pop((kind, namespace), None)
        self._awaited.discard((kind, namespace))
        self._look()

    def failed(self, kind: str, namespace: str | None, error: errors.ClusterError) -> bool:
        """Take why a list failed, and tell whether it is to be said aloud: a refusal is once, an outage is where it is noticed."""
        if isinstance(error, errors.ClusterUnavailable):
            return False
        self._refusals[kind, namespace] += 1
        if isinstance(error, errors.AccessDenied) and self._refusals[kind, namespace] >= _CERTAIN_AFTER:
            self.spare(kind, namespace)
        return self._refusals[kind, namespace] == 1

    def spare(self, kind: str, namespace: str | None) -> None:
        """Keep no other namespace waiting for this list."""
        self._spared.add((kind, namespace))
        self._look()

    def longest_pause_seconds(self, error: errors.ClusterError, *, otherwise: float) -> float:
        """Return how long the next try may wait: one of several namespaces that denies its lists is asked seldom."""
        denied = isinstance(error, errors.AccessDenied) and error.status_code == HTTPStatus.FORBIDDEN
        return DENIED_SECONDS if denied and len(self._namespaces) > 1 else otherwise

    def _look(self) -> None:
        listed = self._namespaces - {namespace for _, namespace in self._awaited}
        for namespace in listed:
            self._listed[namespace].set()
        if listed and self._awaited <= self._spared:
            self._complete.set()
