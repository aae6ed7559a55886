import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_operator.errors import ReportInvalid
from chatbot_operator.fleet import MAX_REPORT_BYTES, PodReport, merge, worst_credentials
from chatbot_operator.resource import BreakerState, CredentialsState
from tests.resources import report_of

BODY = {
    "version": 1,
    "pod": {"uid": "u1", "templateHash": "h1"},
    "state": "ready",
    "breaker": {"claude-sonnet-5-5": {"state": "open", "trips": 2}},
    "lastErrorType": None,
    "credentials": {"state": "Accepted", "fingerprintChangedAt": None},
    "model": {"name": "claude-sonnet-5-5", "state": "Available", "lifecycle": "active", "retiresAt": None},
    "clientTokens": None,
    "inFlight": 4,
    "windows": {"5m": {"requests": 3, "errors": 1, "latencyMs": {"bounds": [100], "counts": [2, 1]}}},
    "tokens": {"input": 10, "output": 20},
}


def test_report_is_read() -> None:
    report = PodReport.parse(json.dumps(BODY).encode())

    assert (report.pod.uid, report.in_flight, report.tokens.output) == ("u1", 4, 20)
    assert report.windows["5m"].latency_ms.counts == (2, 1)


def test_fields_of_a_newer_service_are_ignored() -> None:
    assert PodReport.parse(json.dumps(BODY | {"novelty": [1]}).encode()).pod.uid == "u1"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"version": 2}, "version"),
        ({"pod": {}}, "pod.uid"),
        ({"pod": {"uid": "u1\nspoofed"}}, "pod.uid"),
        ({"credentials": {"state": "Great"}}, "credentials.state"),
        ({"lastErrorType": "x" * 64}, "lastErrorType"),
        ({"lastErrorType": "<script>"}, "lastErrorType"),
        ({"inFlight": -1}, "inFlight"),
        ({"breaker": {f"m{index}": {"state": "closed"} for index in range(9)}}, "breaker"),
        ({"windows": {"5m": {"latencyMs": {"counts": [0] * 33}}}}, "windows.5m.latencyMs.counts"),
    ],
)
def test_untrusted_values_are_refused_by_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ReportInvalid, match=rf"^report\.{field}"):
        PodReport.parse(json.dumps(BODY | change).encode())


def test_report_that_is_too_long_is_not_parsed() -> None:
    with pytest.raises(ReportInvalid, match="exceeds 4096"):
        PodReport.parse(b" " * (MAX_REPORT_BYTES + 1))


@given(body=st.binary(max_size=200))
def test_garbage_is_an_invalid_report_and_nothing_else(body: bytes) -> None:
    with pytest.raises(ReportInvalid):
        PodReport.parse(body)


def test_deep_nesting_is_an_invalid_report() -> None:
    with pytest.raises(ReportInvalid):
        PodReport.parse(b"[" * MAX_REPORT_BYTES)


def test_refusal_does_not_echo_the_body() -> None:
    with pytest.raises(ReportInvalid) as caught:
        PodReport.parse(json.dumps(BODY | {"state": "sk-ant-secret " * 10}).encode())

    assert "sk-ant" not in str(caught.value)


def test_breakers_are_counted_for_the_model_that_answers() -> None:
    fleet = merge([report_of("a", breaker="open"), report_of("b"), report_of("c", breaker="half_open")], expected=3)

    assert dict(fleet.breakers()) == {BreakerState.OPEN: 1, BreakerState.CLOSED: 1, BreakerState.HALF_OPEN: 1}
    assert fleet.worst_breaker() is BreakerState.OPEN


def test_of_two_reports_of_a_pod_the_later_counts() -> None:
    fleet = merge([report_of("a", credentials="Missing"), report_of("a", credentials="Accepted")], expected=1)

    assert worst_credentials(fleet.pods.values()) is CredentialsState.ACCEPTED


def test_worst_key_counts() -> None:
    states = ("Accepted", "Unverified", "Missing", "Rejected")
    pods = list(merge([report_of(state, credentials=state) for state in states], expected=4).pods.values())

    assert [worst_credentials(pods[: count + 1]) for count in range(4)] == [CredentialsState(state) for state in states]
    assert worst_credentials([]) is None


@given(order=st.permutations(["api_error", "overloaded_error", "api_error", "overloaded_error", None]))
def test_last_error_type_does_not_depend_on_the_order(order: list[str | None]) -> None:
    fleet = merge([report_of(str(index), last_error_type=name) for index, name in enumerate(order)], expected=5)

    assert fleet.last_error_type() == "api_error"


def test_mere_traffic_does_not_change_the_health() -> None:
    quiet = PodReport.parse(json.dumps(BODY).encode())
    busy = PodReport.parse(json.dumps(BODY | {"inFlight": 9, "windows": {}, "tokens": {"input": 11, "output": 21}}).encode())

    assert merge([quiet], expected=1) == merge([busy], expected=1)


def test_no_report_says_nothing() -> None:
    fleet = merge([], expected=3)

    assert (fleet.worst_breaker(), fleet.last_error_type(), fleet.expected) == (None, None, 3)
