"""The figures of a status: how the pods find the API, which key they use, what was promised and measured, what was used. Pure.

Rounded to three significant digits, so that one request more is seldom another status.
"""

from typing import Final

from chatbot_operator import traffic
from chatbot_operator.fleet import FleetHealth, worst_credentials
from chatbot_operator.resource import BreakerState, CredentialsState, CredentialsStatus, SloStatus, UpstreamStatus, UsageStatus
from chatbot_operator.traffic import Histogram, Traffic
from chatbot_operator.view import View

_P95: Final = 95


def upstream(fleet: FleetHealth) -> UpstreamStatus | None:
    """Return how all pods find the API, None without a report."""
    if not fleet.pods:
        return None
    counts = fleet.breakers()
    return UpstreamStatus(
        breaker=fleet.worst_breaker(),
        breaker_closed=counts[BreakerState.CLOSED],
        breaker_open=counts[BreakerState.OPEN],
        breaker_half_open=counts[BreakerState.HALF_OPEN],
        last_error_type=fleet.last_error_type(),
    )


def credentials(view: View) -> CredentialsStatus:
    """Return what this generation's pods make of the key, and how many of all use the present one."""
    state = worst_credentials(view.judges) or CredentialsState.UNVERIFIED
    return CredentialsStatus(state=state, pods_current=view.fleet.with_current_key())


def measured(view: View) -> Traffic | None:
    """Return this generation's traffic over the window of the objectives, None while nothing is known of it."""
    if view.current_revision is None or not view.current_health:
        return None
    return view.fleet.figures.traffic.get((view.current_revision, view.resource.spec.slo.window), Traffic())


def p95_milliseconds(histogram: Histogram) -> int | None:
    """Return the 95th percentile, rounded up."""
    value = traffic.percentile(histogram, _P95)
    return None if value is None else traffic.rounded_up(value)


def slo(view: View) -> SloStatus | None:
    """Return what was measured of the objectives, None while nothing is known."""
    seen = measured(view)
    if seen is None:
        return None
    return SloStatus(
        p95_milliseconds=p95_milliseconds(seen.latency),
        time_to_first_token_p95_milliseconds=p95_milliseconds(seen.first_token),
        error_rate_percent=traffic.percent(seen.error_rate_basis_points) if seen.requests else None,
        availability_percent=traffic.percent(seen.availability_basis_points) if seen.requests else None,
        samples=traffic.rounded_down(seen.requests),
    )


def usage(fleet: FleetHealth) -> UsageStatus | None:
    """Return what the pods that run now have used, None without a report."""
    if not fleet.pods:
        return None
    return UsageStatus(
        input_tokens=traffic.rounded_down(fleet.figures.input_tokens),
        output_tokens=traffic.rounded_down(fleet.figures.output_tokens),
    )
