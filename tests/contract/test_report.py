"""The report that the service makes, parsed by the operator."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn, get_args

import orjson
import pytest

from chatbot_operator.desired.environment import build_environment
from chatbot_operator.fleet import merge
from chatbot_operator.pod_report import MAX_REPORT_BYTES, PodReport
from chatbot_operator.resource import BreakerState, CredentialsState, ModelState
from chatbot_operator.resource.operations import SloSpec
from chatbot_operator.traffic import percentile
from chatbot_service.calls import Calls
from chatbot_service.credentials import Credentials, FixedKey
from chatbot_service.files import SystemPrompt
from chatbot_service.metrics import ERROR_TYPES
from chatbot_service.readiness import CredentialsState as ServiceCredentialsState
from chatbot_service.readiness import Outcome, Verdict
from chatbot_service.report import build_report
from chatbot_service.resilience.breaker import BreakerState as ServiceBreakerState
from chatbot_service.resilience.budget import RetryBudget
from chatbot_service.runtime import Runtime
from chatbot_service.settings import Settings as ServiceSettings
from chatbot_service.traffic import WINDOWS_SECONDS
from tests.resources import resource_of


def _settings(**more: str) -> ServiceSettings:
    pod = {"POD_UID": "7f2f3f0e-0000-4000-8000-000000000001", "POD_TEMPLATE_HASH": "6d4cf56db6"}
    return ServiceSettings.from_environment(build_environment(resource_of()) | pod | more)


def _runtime(settings: ServiceSettings | None = None) -> Runtime:
    return Runtime.create(settings or _settings(), SystemPrompt(None))


def _report(runtime: Runtime) -> bytes:
    return json.dumps(build_report(runtime)).encode()


def test_pod_without_a_key_reports_that_it_is_missing() -> None:
    runtime = _runtime()
    runtime.readiness.credentials = ServiceCredentialsState.MISSING

    report = PodReport.parse(_report(runtime))

    assert (report.pod.uid, report.pod.template_hash) == ("7f2f3f0e-0000-4000-8000-000000000001", "6d4cf56db6")
    assert (report.state, report.credentials.state) == ("not_ready", CredentialsState.MISSING)
    assert report.model.name == "claude-sonnet-5-5"
    assert report.breaker["claude-sonnet-5-5"].state is BreakerState.CLOSED


@pytest.mark.parametrize(
    ("verdict", "credentials", "model"),
    [
        (Verdict(Outcome.ACCEPTED, lifecycle="active"), CredentialsState.ACCEPTED, ModelState.AVAILABLE),
        (Verdict(Outcome.KEY_REFUSED, error_type="authentication_error"), CredentialsState.REJECTED, ModelState.UNVERIFIED),
        (Verdict(Outcome.MODEL_REFUSED), CredentialsState.ACCEPTED, ModelState.NOT_FOUND),
        (Verdict(Outcome.MODEL_REFUSED, lifecycle="retired", retires_at="2026-11-30"), CredentialsState.ACCEPTED, ModelState.RETIRED),
        (Verdict(Outcome.UNJUDGEABLE, error_type="api_error"), CredentialsState.UNVERIFIED, ModelState.UNVERIFIED),
    ],
)
def test_every_judgement_of_key_and_model_is_understood(verdict: Verdict, credentials: CredentialsState, model: ModelState) -> None:
    runtime = _runtime()
    runtime.readiness.key_taken()
    runtime.readiness.judged(verdict)

    report = PodReport.parse(_report(runtime))

    assert (report.credentials.state, report.model.state) == (credentials, model)


def test_a_model_that_ends_soon_is_understood_with_the_days_that_are_left() -> None:
    runtime = _runtime()
    runtime.readiness.key_taken()
    runtime.readiness.judged(Verdict(Outcome.ACCEPTED, lifecycle="deprecated", retires_at="2026-11-30T00:00:00+00:00"))

    report = PodReport.parse(_report(runtime))

    assert (report.model.state, report.model.lifecycle) == (ModelState.AVAILABLE, "deprecated")
    assert report.model.retires_at == "2026-11-30T00:00:00+00:00"
    assert report.model.days_to_retirement == json.loads(_report(runtime))["model"]["daysToRetirement"] is not None
    assert merge([report], expected=1).pods[report.pod.uid].deprecated


@pytest.mark.parametrize("state", BreakerState)
def test_every_state_of_a_breaker_is_understood(state: BreakerState) -> None:
    runtime = _runtime(_settings(CLAUDE_FALLBACK_MODELS="claude-haiku-5-5"))
    calls = Calls(_NoUpstream(), runtime.settings, runtime.metrics, budget=RetryBudget(percent=20))
    breaker = calls.breakers["claude-sonnet-5-5"]
    breaker.state, breaker.trips = ServiceBreakerState(state.value), 7
    runtime.calls = calls

    report = PodReport.parse(_report(runtime))

    assert (report.breaker["claude-sonnet-5-5"].state, report.breaker["claude-sonnet-5-5"].trips) == (state, 7)
    assert report.breaker["claude-haiku-5-5"].state is BreakerState.CLOSED


@pytest.mark.parametrize(("content", "word"), [(None, "Missing"), ("# none yet\n", "Missing"), ("token\n", "Loaded")])
def test_tokens_that_are_missing_are_told_by_the_word_that_the_operator_waits_for(tmp_path: Path, content: str | None, word: str) -> None:
    path = tmp_path / "tokens"
    if content is not None:
        path.write_text(content)

    report = PodReport.parse(_report(_runtime(_settings(CLIENT_AUTH_MODE="Token", CLIENT_TOKENS_FILE=str(path)))))

    assert report.client_tokens == word
    assert merge([report], expected=1).client_tokens_missing == (word == "Missing")


def test_without_client_tokens_nothing_is_told_of_them() -> None:
    assert PodReport.parse(_report(_runtime())).client_tokens is None


class _NoUpstream:
    async def complete(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError

    async def open(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError


def test_traffic_is_counted_by_window() -> None:
    runtime = _runtime()
    runtime.traffic.record(error=False, latency_seconds=0.2)
    runtime.traffic.record(error=True, latency_seconds=1.5)
    runtime.traffic.record(error=False, first_token_seconds=0.4)
    runtime.metrics.attempt_failed("claude-sonnet-5-5", seconds=1.5, error_type="overloaded_error")

    report = PodReport.parse(_report(runtime))

    assert set(report.windows) == {"5m", "1h"}
    assert (report.windows["5m"].requests, report.windows["5m"].errors) == (3, 1)
    latency = report.windows["1h"].latency_ms
    assert (sum(latency.counts), len(latency.counts)) == (2, len(latency.bounds) + 1)
    assert report.last_error_type == "overloaded_error"
    figures = merge([report], expected=1).figures.traffic["6d4cf56db6", "5m"]
    assert (figures.error_rate_basis_points, percentile(figures.latency, 95), percentile(figures.first_token, 95)) == (3334, 1450, 395)


def test_windows_of_the_report_are_those_that_a_resource_may_choose() -> None:
    assert set(get_args(SloSpec.model_fields["window"].annotation)) == set(WINDOWS_SECONDS)


async def _accepted(_key: str) -> Verdict:
    return Verdict(Outcome.ACCEPTED)


def _use(key: str, *, on_refused: Callable[[], None]) -> None:
    del key, on_refused


async def test_moment_of_a_change_of_the_key_is_understood() -> None:
    runtime = _runtime()
    runtime.credentials = Credentials(source=FixedKey(b"key"), readiness=runtime.readiness, check=_accepted, use=_use, clock=lambda: 0.0)
    runtime.credentials.step()
    await asyncio.sleep(0)

    report = PodReport.parse(_report(runtime))

    changed_at = merge([report], expected=1).pods[report.pod.uid].key_changed_at
    assert changed_at is not None
    assert abs(changed_at - datetime.now(UTC)) < timedelta(hours=1)


def test_largest_report_fits() -> None:
    names = ["m" * 127 + str(number) for number in range(4)]
    runtime = _runtime(
        _settings(CLAUDE_MODEL=names[0], CLAUDE_FALLBACK_MODELS=",".join(names[1:]), POD_UID="u" * 63, POD_TEMPLATE_HASH="h" * 63)
    )
    runtime.calls = Calls(_NoUpstream(), runtime.settings, runtime.metrics, budget=RetryBudget(percent=20))
    for breaker in runtime.calls.breakers.values():
        breaker.state, breaker.trips = ServiceBreakerState.HALF_OPEN, 10**6
    runtime.readiness.key_taken()
    runtime.readiness.judged(Verdict(Outcome.ACCEPTED, lifecycle="deprecated", retires_at="2026-11-30T00:00:00.000000+00:00"))
    runtime.metrics.attempt_failed(names[0], seconds=1, error_type=max(ERROR_TYPES, key=len))
    runtime.slots.in_flight = 10**6
    runtime.traffic.input_tokens = runtime.traffic.output_tokens = 2**53
    report = build_report(runtime)
    for window in report["windows"].values():
        window["requests"] = window["errors"] = 10**8
        window["latencyMs"]["counts"] = window["firstTokenMs"]["counts"] = [10**8] * len(window["latencyMs"]["counts"])

    body = orjson.dumps(report)

    assert len(body) <= MAX_REPORT_BYTES
    assert PodReport.parse(body).tokens.input == 2**53
