import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_operator.errors import ReportInvalid
from chatbot_operator.fleet import Figures, FleetHealth, merge, worst_credentials, worst_model
from chatbot_operator.pod_report import MAX_REPORT_BYTES, PodReport
from chatbot_operator.resource import BreakerState, CredentialsState, ModelState
from chatbot_operator.traffic import Histogram
from tests.resources import report_of, window_of

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
        ({"windows": {"5m": {"latencyMs": {"bounds": [1, 2], "counts": [0, 0]}}}}, "windows.5m.latencyMs"),
        ({"windows": {"5m": {"latencyMs": {"bounds": [2, 2], "counts": [0, 0, 0]}}}}, "windows.5m.latencyMs"),
        ({"model": {"name": "m", "daysToRetirement": -1}}, "model.daysToRetirement"),
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


@pytest.mark.parametrize("wrong", [{"state": "starting"}, {"credentials": "Unverified"}, {"model": "NotFound"}, {"breaker": "half_open"}])
def test_fleet_is_well_only_if_every_pod_says_so(wrong: dict[str, Any]) -> None:
    assert merge([report_of("a"), report_of("b")], expected=2).is_well
    assert not merge([report_of("a"), report_of("b")], expected=3).is_well
    assert not merge([report_of("a"), report_of("b", **wrong)], expected=2).is_well


def test_no_report_says_nothing() -> None:
    fleet = merge([], expected=3)

    assert (fleet.worst_breaker(), fleet.last_error_type(), fleet.expected) == (None, None, 3)
    assert (fleet.figures, fleet.client_tokens_missing, fleet.with_current_key()) == (Figures(), False, 0)


def test_figures_of_one_revision_and_window_are_added_and_no_others() -> None:
    windows = {"5m": window_of(10, errors=1, latency=(9, 1, 0)), "1h": window_of(100, latency=(90, 10, 0), first_token=(5, 0, 0))}
    reports = [report_of("a", windows=windows), report_of("b", windows=windows), report_of("c", revision="h2", windows=windows)]

    traffic = merge(reports, expected=3).figures.traffic

    assert (traffic["h1", "5m"].requests, traffic["h1", "5m"].errors) == (20, 2)
    assert traffic["h1", "1h"].latency == Histogram((100, 1000), (180, 20, 0))
    assert traffic["h1", "1h"].first_token == Histogram((100, 1000), (10, 0, 0))
    assert traffic["h2", "5m"].latency == Histogram((100, 1000), (9, 1, 0))


def test_tokens_and_requests_in_flight_are_summed_over_all_pods() -> None:
    fleet = merge([report_of(uid, inFlight=3, tokens={"input": 10, "output": 4}) for uid in "abc"], expected=3)

    assert (fleet.figures.in_flight, fleet.figures.input_tokens, fleet.figures.output_tokens) == (9, 30, 12)


def test_a_pod_without_client_tokens_is_enough_to_miss_them() -> None:
    assert merge([report_of("a", clientTokens="Loaded"), report_of("b", clientTokens="Missing")], expected=2).client_tokens_missing
    assert not merge([report_of("a", clientTokens="Loaded"), report_of("b")], expected=2).client_tokens_missing


LAST_WEEK = "2026-11-15T08:00:00.000Z"
ROTATED = "2026-11-22T12:01:00.000Z"
SOON_AFTER = "2026-11-22T12:02:20.000Z"


def _keys(before: FleetHealth | None = None, **changed_at: str | None) -> FleetHealth:
    return merge([report_of(uid, key_changed_at=moment) for uid, moment in changed_at.items()], expected=3, before=before)


def test_pods_that_have_not_taken_up_the_new_key_do_not_count() -> None:
    settled = _keys(a=LAST_WEEK, b=LAST_WEEK, c=LAST_WEEK)
    first = _keys(settled, a=ROTATED, b=LAST_WEEK, c=LAST_WEEK)
    second = _keys(first, a=ROTATED, b=SOON_AFTER, c=LAST_WEEK)
    last = _keys(second, a=ROTATED, b=SOON_AFTER, c=SOON_AFTER)

    assert [fleet.with_current_key() for fleet in (settled, first, second, last)] == [3, 1, 2, 3]


def test_pod_that_starts_or_gets_its_first_key_is_no_rotation() -> None:
    settled = _keys(a=LAST_WEEK, b=None)

    grown = _keys(settled, a=LAST_WEEK, b=ROTATED, c=ROTATED)

    assert (grown.rotated_at, grown.with_current_key()) == (None, 3)


@pytest.mark.parametrize("moment", ["yesterday", "", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-11-22T12:00:00"])
def test_no_moment_that_a_pod_names_breaks_the_count(moment: str) -> None:
    before = _keys(a=LAST_WEEK, b=moment)

    for after in (_keys(before, a=moment, b=LAST_WEEK), _keys(before, a=moment, b=moment)):
        assert 0 <= after.with_current_key() <= 2


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        ([], None),
        (["Available", "Unverified"], ModelState.UNVERIFIED),
        (["Unverified", "NotFound"], ModelState.NOT_FOUND),
        (["NotFound", "Retired", "Available"], ModelState.RETIRED),
    ],
)
def test_worst_model_counts(states: list[str], worst: ModelState | None) -> None:
    pods = merge([report_of(state, model=state) for state in states], expected=3).pods.values()

    assert worst_model(pods) is worst
