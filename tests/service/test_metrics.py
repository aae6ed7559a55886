"""What /metrics shows of the real service, and that nothing from outside adds a label; the README's table is compared with a scrape."""

import asyncio
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

import chatbot_service
from chatbot_service.app import create_app
from chatbot_service.calls import Calls
from chatbot_service.conversation import Usage
from chatbot_service.errors import UpstreamGarbage, UpstreamTimeout, UpstreamUnreachable
from chatbot_service.exchange import Exchange
from chatbot_service.exposition import Exposition
from chatbot_service.failures import _STATUS_OF_TYPE
from chatbot_service.files import SystemPrompt
from chatbot_service.metrics import ERROR_TYPES, METHODS, Metrics
from chatbot_service.readiness import Outcome, Verdict
from chatbot_service.resilience.budget import RetryBudget
from chatbot_service.runtime import Runtime
from chatbot_service.settings import Settings
from tests.conftest import Simulator
from tests.service.conftest import Service, start_service

README = Path(chatbot_service.__file__).parents[2] / "README.md"
CHAT = {"http_request_method": "POST", "http_route": "/api/chat"}
MODEL = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "anthropic", "gen_ai_request_model": "claude-sonnet-5-5"}


def samples(text: bytes) -> Iterator[Sample]:
    return itertools.chain.from_iterable(family.samples for family in text_string_to_metric_families(text.decode()))


def scrape(service: Service) -> bytes:
    return service.request("GET", "/metrics", admin=True).body


def value(text: bytes, name: str, **labels: str) -> float:
    """Return the sum of the samples with `name` and at least `labels`."""
    return sum(sample.value for sample in samples(text) if sample.name == name and labels.items() <= sample.labels.items())


class Growth:
    """How much a metric of `service` has grown since this was made."""

    def __init__(self, service: Service, name: str, **labels: str) -> None:
        self._service, self._name, self._labels = service, name, labels
        self._before = self._read()

    @property
    def now(self) -> float:
        return self._read() - self._before

    def _read(self) -> float:
        return value(scrape(self._service), self._name, **self._labels)


def test_requests_first_tokens_and_failures_are_counted(service: Service, simulator: Simulator) -> None:
    duration = "http_server_request_duration_seconds_count"
    served = Growth(service, duration, **CHAT, http_response_status_code="200", error_type="")
    failed = Growth(service, duration, **CHAT, http_response_status_code="502", error_type="upstream_error")
    broken = Growth(service, duration, **CHAT, http_response_status_code="200", error_type="overloaded")
    first_tokens = Growth(service, "gen_ai_server_time_to_first_token_seconds_count")
    refused = Growth(service, "chatbot_requests_refused_total", http_response_status_code="400")
    unknown = Growth(service, duration, http_route="", http_response_status_code="404", http_request_method="_OTHER")

    service.chat()
    service.chat(stream=True)
    service.request("PURGE", "/a/path/of/the/clients/choice")
    service.request("BREW", "/api/chat")
    simulator.behave(overload_at=6, pace="1ms")
    service.chat(stream=True)
    simulator.behave(error={"status": 500})
    service.chat()

    growth = (served, broken, failed, first_tokens, unknown, refused)
    service.wait_until(lambda: [metric.now for metric in growth] == [2, 1, 1, 2, 1, 1], seconds=10)


def test_the_first_scrape_need_not_wait_until_the_sdk_is_loaded() -> None:
    with start_service(wait_ready=False) as service:
        text = scrape(service)

        assert value(text, "chatbot_ready") == 0
        assert service.log("api key is missing") == []


def test_attempts_and_tokens_are_counted_by_model(service: Service, simulator: Simulator) -> None:
    tokens = "gen_ai_client_token_usage_sum"
    reported = service.report()["tokens"]
    used = {kind: Growth(service, tokens, **MODEL, gen_ai_token_type=kind) for kind in ("input", "output")}

    usage = service.chat().json["usage"]

    assert {kind: growth.now for kind, growth in used.items()} == {"input": usage["input_tokens"], "output": usage["output_tokens"]}
    assert service.report()["tokens"]["output"] - reported["output"] == usage["output_tokens"]


def test_requests_under_way_are_gauges(service: Service, simulator: Simulator) -> None:
    simulator.behave(pace="10s", events=5)

    with service.open_chat(stream=True):
        service.wait_until(lambda: value(scrape(service), "chatbot_requests_in_flight") == 1)
        text = scrape(service)

    assert value(text, "http_server_active_requests") == 1
    assert value(text, "chatbot_open_connections") == 1
    assert value(text, "http_client_open_connections", http_connection_state="active") == 1
    service.wait_until(lambda: value(scrape(service), "http_server_active_requests") == 0)
    service.wait_until(lambda: value(scrape(service), "chatbot_open_connections") == 0)


def test_the_state_of_the_process_is_shown(service: Service) -> None:
    service.wait_until(lambda: value(scrape(service), "chatbot_event_loop_lag_seconds_count") > 0)

    text = scrape(service)

    assert value(text, "chatbot_ready") == 1
    assert [sample.labels["state"] for sample in samples(text) if sample.name == "chatbot_credentials_state" and sample.value] == [
        "Accepted"
    ]
    assert value(text, "chatbot_build_info", version=chatbot_version()) == 1
    assert value(text, "chatbot_log_lines_dropped_total") == 0


def chatbot_version() -> str:
    return Settings.from_environment({}).version


def test_streamed_answers_are_told_from_whole_ones(service: Service) -> None:
    """The time of a whole answer is not to be compared with that of a stream, which takes as long as it is long."""
    duration = "http_server_request_duration_seconds_count"
    whole, streamed = (Growth(service, duration, **CHAT, chatbot_streamed=label) for label in ("false", "true"))

    service.chat()
    service.chat(stream=True)

    service.wait_until(lambda: [whole.now, streamed.now] == [1, 1], seconds=10)


def test_metrics_are_prometheus_text_and_on_the_admin_port_alone(service: Service) -> None:
    reply = service.request("GET", "/metrics", admin=True)

    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"# TYPE http_server_request_duration_seconds histogram" in reply.body
    assert service.request("GET", "/metrics").status == service.request("GET", "/report").status == 404


@pytest.mark.programs
def test_metrics_can_be_turned_off(simulator: Simulator) -> None:
    with start_service(simulator, wait_ready=False, METRICS_ENABLED="false") as service:
        assert service.request("GET", "/metrics", admin=True).status == 404


def exchange_of(method: str, *, status: int, streamed: bool = False) -> Exchange:
    first_token_seconds = 0.1 if streamed else None
    return Exchange("1", "127.0.0.1", method=method, status=status, streamed=streamed, first_token_seconds=first_token_seconds)


def everything(metrics: Metrics, models: list[str]) -> None:
    """Count everything there is, with every value of every label."""
    statuses = [200, 400, 404, 429, 499, 500, 503]
    for method, route, status, streamed in itertools.product([*METHODS, "BREW"], ["", "/api/chat", "/health"], statuses, [False, True]):
        metrics.request_ended(exchange_of(method, status=status, streamed=streamed), route=route)
    for model in models:
        for error_type in (*ERROR_TYPES, "a word of the API that nobody knows"):
            metrics.attempt_failed(model, seconds=1, error_type=error_type)
        metrics.attempt_succeeded(model, Usage(1, 1), seconds=1)
        metrics.retried(model)
    metrics.shed("queue_full")
    metrics.rate_limited("pod")
    metrics.loop_lagged(0.001)


def started() -> Runtime:
    """Return the state of a process that nobody has asked anything yet."""
    settings = Settings.from_environment({"CLAUDE_MODEL": "model", "CLAUDE_FALLBACK_MODELS": "other"})
    runtime = Runtime.create(settings, SystemPrompt(None))
    create_app(runtime)
    runtime.calls = Calls(cast("Any", None), settings, runtime.metrics, budget=RetryBudget(percent=20))
    return runtime


async def render_first() -> bytes:
    """Return the first scrape."""
    return Exposition.of(started()).render()


FAILURES = {
    "busy": "503",
    "circuit_open": "503",
    "internal_error": "500",
    "not_ready": "503",
    "overloaded": "503",
    "shutting_down": "503",
    "upstream_error": "502",
    "upstream_rejected": "502",
    "upstream_timeout": "504",
}
REFUSED_BY_THE_API = ("body_too_large", "invalid_request", "upstream_rate_limited")


def test_every_way_to_fail_is_shown_at_0_before_the_first_time() -> None:
    """Prometheus takes no rate of what it never saw at its beginning."""
    counts = {
        (sample.labels["http_response_status_code"], sample.labels["error_type"], sample.labels["chatbot_streamed"]): sample.value
        for sample in samples(asyncio.run(render_first()))
        if sample.name == "http_server_request_duration_seconds_count" and CHAT.items() <= sample.labels.items()
    }

    answered = {(status, code, streamed) for code, status in FAILURES.items() for streamed in ("false", "true")}
    broken_off = {("200", code, "true") for code in (*FAILURES, *REFUSED_BY_THE_API)}
    assert counts == dict.fromkeys({*answered, *broken_off, ("200", "", "false"), ("200", "", "true")}, 0)


def test_a_failure_is_counted_where_its_0_was_shown() -> None:
    metrics = Metrics()
    metrics.announce_chat("/api/chat")
    exposition = Exposition(metrics)

    def counts() -> dict[tuple[str, ...], float]:
        name = "http_server_request_duration_seconds_count"
        return {tuple(sample.labels.values()): sample.value for sample in samples(exposition.render()) if sample.name == name}

    before = counts()
    for (code, status), streamed in itertools.product(FAILURES.items(), (False, True)):
        exchange = exchange_of("POST", status=int(status), streamed=streamed)
        exchange.error_code = code
        metrics.request_ended(exchange, route="/api/chat")
    for code in (*FAILURES, *REFUSED_BY_THE_API):
        exchange = exchange_of("POST", status=200, streamed=True)
        exchange.outcome, exchange.error_code = "error", code
        metrics.request_ended(exchange, route="/api/chat")

    assert counts() == {labels: 0 if "" in labels else 1 for labels in before}


@pytest.mark.parametrize(
    ("name", "label", "values"),
    [
        ("chatbot_requests_shed_total", "reason", {"body_memory", "queue_full", "queue_timeout"}),
        ("chatbot_requests_rate_limited_total", "scope", {"client", "pod"}),
        ("chatbot_upstream_retries_total", "model", {"model", "other"}),
        ("chatbot_circuit_breaker_trips_total", "model", {"model", "other"}),
        ("gen_ai_client_token_usage_sum", "gen_ai_token_type", {"input", "output"}),
        ("gen_ai_client_operation_duration_seconds_count", "error_type", {"", "_OTHER", *ERROR_TYPES}),
    ],
)
def test_what_is_counted_by_reason_begins_at_0(name: str, label: str, values: set[str]) -> None:
    found = [sample for sample in samples(asyncio.run(render_first())) if sample.name == name]

    assert {sample.labels[label] for sample in found} == values
    assert {sample.value for sample in found} == {0}


def test_errors_of_the_api_and_our_own_words_for_what_is_no_answer_are_told_apart() -> None:
    ours = {kind.fallback_type for kind in (UpstreamGarbage, UpstreamTimeout, UpstreamUnreachable)} | {"tls_error", "truncated"}

    assert {*_STATUS_OF_TYPE, *ours} == ERROR_TYPES


async def render_everything() -> bytes:
    """Return a scrape that has every metric."""
    runtime = started()
    runtime.refusals = {400: 1}
    runtime.readiness.judged(Verdict(Outcome.ACCEPTED, retires_at="2026-11-30"))
    everything(runtime.metrics, ["model"])
    return Exposition.of(runtime).render()


def test_what_clients_and_the_api_say_adds_no_label() -> None:
    metrics = Metrics()
    everything(metrics, ["model"])
    exposition = Exposition(metrics)
    before = len(exposition.render().splitlines())

    for number in range(100):
        metrics.request_ended(exchange_of(f"METHOD{number}", status=404), route="")
        metrics.attempt_failed("model", seconds=1, error_type=f"error_{number}")

    assert len(exposition.render().splitlines()) == before


def test_the_readme_names_every_metric_with_its_type_and_labels() -> None:
    table = dict(re.findall(r"^\| `((?:chatbot|gen_ai|http)_\w+)` \| (\w+ \| [^|]*) \|", README.read_text(), flags=re.MULTILINE))

    shown = {}
    for family in text_string_to_metric_families(asyncio.run(render_everything()).decode()):
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        shown[name] = f"{family.type} | {', '.join(f'`{label}`' for label in labels)}"
    assert {name: row for name, row in shown.items() if not name.startswith("process_")} == table
    assert all(name in README.read_text() for name in shown)
