"""Prometheus metrics of what is at the moment of a scrape: nothing is counted between scrapes, so they cost a request nothing."""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from chatbot_service.readiness import CredentialsState
from chatbot_service.resilience.breaker import BreakerState
from chatbot_service.resources import Load
from chatbot_service.runtime import Runtime


class Gauges(Collector):
    """The state of one process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what there is does not depend on the moment, and registering needs no reading."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Read everything."""
        runtime, load = self._runtime, Load.of(self._runtime)
        yield InfoMetricFamily("chatbot_build", "What is running.", {"version": runtime.settings.version})
        yield _gauge("chatbot_ready", "1 when the service may be sent traffic.", int(runtime.readiness.ready))
        yield _states("chatbot_credentials_state", "1 for what is known of the API key.", CredentialsState, runtime.readiness.credentials)
        yield _gauge("http_server_active_requests", "Requests on the service's port whose answer is not whole.", len(runtime.requests))
        yield _gauge("chatbot_requests_in_flight", "Chat requests being served.", load.in_flight)
        yield _gauge("chatbot_requests_queued", "Chat requests that wait for their turn.", load.queued)
        yield _gauge("chatbot_open_connections", "Connections of clients to the service's port.", load.open_connections)
        yield _upstream_connections(load)
        yield _refusals(runtime.refusals)
        yield from self._breakers()
        if (retirement := runtime.readiness.retirement) is not None:
            yield _gauge("chatbot_model_retirement_timestamp_seconds", "When CLAUDE_MODEL ends, if it does.", retirement.timestamp())
        yield CounterMetricFamily("chatbot_log_lines_dropped", "Log lines that nobody took in time.", runtime.output.dropped)

    def _breakers(self) -> Iterator[Metric]:
        breakers = self._runtime.calls.breakers if self._runtime.calls is not None else {}
        state = GaugeMetricFamily("chatbot_circuit_breaker_state", "1 for the state of a model's breaker.", labels=["model", "state"])
        trips = CounterMetricFamily("chatbot_circuit_breaker_trips", "How often a model's breaker opened.", labels=["model"])
        for model, breaker in breakers.items():
            trips.add_metric([model], breaker.trips)
            for known in BreakerState:
                state.add_metric([model, known.value], int(breaker.state is known))
        yield from (state, trips)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value)


def _states(name: str, text: str, states: type[StrEnum], current: StrEnum) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["state"])
    for state in states:
        family.add_metric([state.value], int(state is current))
    return family


def _refusals(by_status: Mapping[int, int]) -> Metric:
    family = CounterMetricFamily(
        "chatbot_requests_refused", "Requests that were no proper HTTP, and never got to a route.", labels=["http_response_status_code"]
    )
    for status, number in by_status.items():
        family.add_metric([str(status)], number)
    return family


def _upstream_connections(load: Load) -> Metric:
    family = GaugeMetricFamily("http_client_open_connections", "Connections to the model's API.", labels=["http_connection_state"])
    family.add_metric(["active"], load.upstream_connections_open - load.upstream_connections_idle)
    family.add_metric(["idle"], load.upstream_connections_idle)
    return family
