"""Whether a failed attempt is followed by another, and after which wait. Pure: chance comes in as a number.

Full jitter: AWS Builders' Library, "Timeouts, retries and backoff with jitter". `x-should-retry` and `retry-after` as the public SDK
reads them, but never longer than the request has.
"""

from dataclasses import dataclass

from chatbot_service.errors import UpstreamFailed, UpstreamOverloaded, UpstreamProblem, UpstreamRateLimited, UpstreamSpent, UpstreamTimeout

RATE_LIMIT_PATIENCE_SECONDS = 10.0
"""The longest `retry-after` of a 429 that is waited for; the client is told of any longer one."""

RETRY_AFTER_JITTER = 0.1
"""Share by which `retry-after` is exceeded at most: those who were told the same time do not come back together."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`max_attempts` counts the first one; the backoff's bound doubles from initial to max; an attempt needs `least_seconds` to be made."""

    max_attempts: int
    initial_backoff_seconds: float
    max_backoff_seconds: float
    least_seconds: float

    def wait_seconds(self, problem: UpstreamProblem, attempt: int, *, left_seconds: float, chance: float) -> float | None:
        """Return the wait before attempt `attempt + 1`, or None when `problem` is the end.

        `attempt` counts from 1, `left_seconds` is the time until the deadline, `chance` is drawn from [0, 1).
        """
        latest = left_seconds - self.least_seconds
        asked = problem.retry_after_seconds
        if attempt >= self.max_attempts or latest < 0 or not is_retriable(problem):
            return None
        if not asked:  # none, 0, or a date that is over by our clock: no reason to come back at once
            return chance * min(self._bound(attempt), latest)
        return asked + chance * min(asked * RETRY_AFTER_JITTER, latest - asked) if asked <= latest else None

    def _bound(self, attempt: int) -> float:
        return min(self.initial_backoff_seconds * 2.0 ** (attempt - 1), self.max_backoff_seconds)


def is_retriable(problem: UpstreamProblem) -> bool:
    """Whether the same request may fare better soon: what the API says itself, else what kind of failure it was."""
    if isinstance(problem, UpstreamSpent):
        return False
    if isinstance(problem, UpstreamRateLimited):
        asked = problem.retry_after_seconds
        return problem.should_retry is not False and asked is not None and asked <= RATE_LIMIT_PATIENCE_SECONDS
    if problem.should_retry is not None:
        return problem.should_retry
    if 300 <= (problem.upstream_status or 0) < 400:
        return False
    return isinstance(problem, (UpstreamFailed, UpstreamOverloaded, UpstreamTimeout))
