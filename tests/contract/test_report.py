"""The report that the service makes, parsed by the operator."""

import json

import pytest

from chatbot_operator.desired.environment import build_environment
from chatbot_operator.fleet import MAX_REPORT_BYTES, PodReport
from chatbot_operator.resource import BreakerState, CredentialsState, ModelState
from chatbot_service.readiness import CredentialsState as ServiceCredentialsState
from chatbot_service.readiness import Outcome, Readiness, Verdict
from chatbot_service.report import build_report
from chatbot_service.settings import Settings as ServiceSettings
from chatbot_service.traffic import Traffic
from tests.resources import resource_of


def _clock() -> float:
    return 1000.0


def _settings(**more: str) -> ServiceSettings:
    pod = {"POD_UID": "7f2f3f0e-0000-4000-8000-000000000001", "POD_TEMPLATE_HASH": "6d4cf56db6"}
    return ServiceSettings.from_environment(build_environment(resource_of()) | pod | more)


def _report(readiness: Readiness, traffic: Traffic | None = None, settings: ServiceSettings | None = None) -> bytes:
    report = build_report(settings=settings or _settings(), readiness=readiness, credentials=None, traffic=traffic or Traffic(clock=_clock))
    return json.dumps(report).encode()


def test_pod_without_a_key_reports_that_it_is_missing() -> None:
    readiness = Readiness(clock=_clock)
    readiness.credentials = ServiceCredentialsState.MISSING

    report = PodReport.parse(_report(readiness))

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
    readiness = Readiness(clock=_clock)
    readiness.key_taken()
    readiness.judged(verdict)

    report = PodReport.parse(_report(readiness))

    assert (report.credentials.state, report.model.state) == (credentials, model)


def test_traffic_is_counted_by_window() -> None:
    traffic = Traffic(clock=_clock)
    traffic.record(error=False, latency_seconds=0.2)
    traffic.record(error=True, latency_seconds=1.5)
    traffic.record(error=False, first_token_seconds=0.4)
    traffic.last_error_type = "overloaded_error"

    report = PodReport.parse(_report(Readiness(clock=_clock), traffic))

    assert set(report.windows) == {"5m", "1h"}
    assert (report.windows["5m"].requests, report.windows["5m"].errors) == (3, 1)
    latency = report.windows["1h"].latency_ms
    assert (sum(latency.counts), len(latency.counts)) == (2, len(latency.bounds) + 1)
    assert report.last_error_type == "overloaded_error"


def test_largest_report_fits() -> None:
    traffic = Traffic(clock=_clock)
    for _ in range(100):
        traffic.record(error=True, latency_seconds=3600.0, first_token_seconds=3600.0)
    traffic.input_tokens = traffic.output_tokens = 10**12

    body = _report(Readiness(clock=_clock), traffic, _settings(CLAUDE_MODEL="m" * 128))

    assert len(body) <= MAX_REPORT_BYTES
    assert PodReport.parse(body).tokens.input == 10**12
