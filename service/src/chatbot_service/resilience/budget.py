"""How many further attempts this process allows itself: retries must not multiply the load of an API that is already failing.

Attempts never exceed (1 + percent / 100) times the requests, plus 10. Source: Google, "Site Reliability Engineering", chapter 22.
"""

CAPACITY = 10
"""Retries that are saved up at most, and that a new process begins with."""

_RETRY = 100
"""A retry in hundredths: whole numbers, because tenths of a float do not add up."""


class RetryBudget:
    """A bucket of retries: each request puts `percent` hundredths of one in, each retry takes one out."""

    def __init__(self, *, percent: int) -> None:
        self._percent = percent
        self._hundredths = CAPACITY * _RETRY

    def add_request(self) -> None:
        """Count one request."""
        self._hundredths = min(self._hundredths + self._percent, CAPACITY * _RETRY)

    def take(self) -> bool:
        """Take one retry out, if there is one; return whether there was."""
        if self._hundredths < _RETRY:
            return False
        self._hundredths -= _RETRY
        return True
