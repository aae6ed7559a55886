"""The conditions beside Ready: their status, reason and what they advise, in tables of situations."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from chatbot_operator.conditions import derive_conditions
from chatbot_operator.fleet import FleetHealth, merge
from chatbot_operator.observed import Observed
from chatbot_operator.pod_report import PodReport
from chatbot_operator.reasons import REASONS, ConditionReason, ConditionType
from chatbot_operator.resource import Manifest
from chatbot_operator.view import View
from tests.resources import SETTINGS, report_of, resource_of, window_of

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
BOUNDS = (1000, 3000, 5000)


def _deployment(**counts: int) -> Manifest:
    return {"metadata": {"generation": 1}, "status": {"observedGeneration": 1, **counts}}


def _view(
    fleet: FleetHealth, spec: dict[str, Any] | None = None, *, updated: int = 3, ready: int = 0, pods: Sequence[Manifest] = ()
) -> View:
    resource = resource_of(spec)
    observed = Observed(deployment=_deployment(replicas=3, updatedReplicas=updated, readyReplicas=ready), pods=tuple(pods))
    return View(resource=resource, observed=observed, fleet=fleet, settings=SETTINGS, now=NOW, wanted=resource.spec.replicas)


def _fleet(*reports: PodReport) -> FleetHealth:
    return merge(reports, expected=3)


def _condition(kind: ConditionType, view: View) -> tuple[str, str, str]:
    found = next(condition for condition in derive_conditions(view) if condition["type"] == kind)
    return found["status"], found["reason"], found["message"]


MODELS: dict[str, tuple[FleetHealth, tuple[str, str], str]] = {
    "offered": (_fleet(report_of("a")), ("True", "ModelFound"), "offers the model claude-sonnet-5-5."),
    "deprecated": (
        _fleet(report_of("a", lifecycle="deprecated", days_to_retirement=9), report_of("b", lifecycle="deprecated", days_to_retirement=8)),
        ("True", "ModelDeprecated"),
        "is deprecated and retired in 8 days. Set spec.model.name to its successor before it is retired.",
    ),
    "tomorrow": (_fleet(report_of("a", lifecycle="deprecated", days_to_retirement=1)), ("True", "ModelDeprecated"), "retired in 1 day."),
    "today": (_fleet(report_of("a", lifecycle="deprecated", days_to_retirement=0)), ("True", "ModelDeprecated"), "retired within a day."),
    "deprecated without a date": (_fleet(report_of("a", lifecycle="deprecated")), ("True", "ModelDeprecated"), "is deprecated. Set"),
    "retirement far away": (_fleet(report_of("a", lifecycle="active", days_to_retirement=300)), ("True", "ModelFound"), "offers"),
    "unknown": (_fleet(report_of("a"), report_of("b", model="NotFound")), ("False", "ModelNotFound"), "Set spec.model.name"),
    "retired": (_fleet(report_of("a", model="Retired")), ("False", "ModelRetired"), "Set spec.model.name to its successor."),
    "not asked yet": (_fleet(report_of("a", model="Unverified")), ("Unknown", "Unverified"), "CredentialsValid"),
    "no report": (_fleet(), ("Unknown", "NoReport"), "see the condition Ready"),
}


@pytest.mark.parametrize(("fleet", "expected", "message"), MODELS.values(), ids=MODELS.keys())
def test_model_is_judged_by_what_the_api_told_the_pods(fleet: FleetHealth, expected: tuple[str, str], message: str) -> None:
    *found, told = _condition(ConditionType.MODEL_AVAILABLE, _view(fleet))

    assert tuple(found) == expected
    assert message in told


UPSTREAMS: dict[str, tuple[FleetHealth, tuple[str, str], str]] = {
    "answers": (_fleet(report_of("a"), report_of("b")), ("True", "BreakersClosed"), "answers every pod"),
    "refuses the key, so it answers": (_fleet(report_of("a", credentials="Rejected")), ("True", "BreakersClosed"), "answers"),
    "fails for all": (
        _fleet(report_of("a", breaker="open", last_error_type="overloaded_error"), report_of("b", breaker="half_open")),
        ("False", "AllBreakersOpen"),
        "https://api.anthropic.com fails (overloaded_error) for every pod",
    ),
    "fails for some": (_fleet(report_of("a"), report_of("b", breaker="half_open")), ("False", "SomeBreakersOpen"), "for some pods"),
    "was never reached": (_fleet(report_of("a", credentials="Unverified", state="degraded")), ("Unknown", "Unverified"), "not answered"),
    "was never called": (_fleet(report_of("a", credentials="Missing", state="not_ready")), ("Unknown", "Unverified"), "CredentialsValid"),
    "no report": (_fleet(), ("Unknown", "NoReport"), "see the condition Ready"),
}


@pytest.mark.parametrize(("fleet", "expected", "message"), UPSTREAMS.values(), ids=UPSTREAMS.keys())
def test_upstream_is_judged_by_the_breakers_of_pods_that_it_answered(fleet: FleetHealth, expected: tuple[str, str], message: str) -> None:
    *found, told = _condition(ConditionType.UPSTREAM_AVAILABLE, _view(fleet))

    assert tuple(found) == expected
    assert message in told


def _measured(*windows: dict[str, Any], name: str = "1h") -> FleetHealth:
    return _fleet(*[report_of(str(number), windows={name: window}) for number, window in enumerate(windows)])


def _latency(*counts: int, errors: int = 0) -> dict[str, Any]:
    return window_of(sum(counts), errors=errors, latency=counts, bounds=BOUNDS)


OBJECTIVES: dict[str, tuple[FleetHealth, dict[str, Any], tuple[str, str], str]] = {
    "all met": (_measured(_latency(100, 0, 0, 0), _latency(0, 100, 0, 0)), {}, ("True", "ObjectivesMet"), "was kept within 1h."),
    "slow pods of several": (
        _measured(_latency(900, 0, 0, 0), _latency(0, 0, 100, 0)),
        {},
        ("False", "ObjectivesMissed"),
        "more than 5 % took longer than 3s: see status.slo",
    ),
    "as slow as allowed": (_measured(_latency(0, 95, 0, 5)), {}, ("True", "ObjectivesMet"), "kept"),
    "beyond every bound": (_measured(_latency(0, 0, 0, 100)), {"p95": "5s"}, ("False", "ObjectivesMissed"), "longer than 5s"),
    "errors": (
        _measured(_latency(1000, 0, 0, 0, errors=20)),
        {"availabilityPercent": "90"},
        ("False", "ObjectivesMissed"),
        "more than 1 % of the requests failed: see",
    ),
    "availability": (_measured(_latency(1000, 0, 0, 0, errors=2)), {}, ("False", "ObjectivesMissed"), "fewer than 99.9 % were answered:"),
    "exactly as promised": (_measured(_latency(1000, 0, 0, 0, errors=1)), {"errorRatePercent": "0.1"}, ("True", "ObjectivesMet"), "kept"),
    "several": (
        _measured(_latency(0, 0, 0, 1000, errors=20)),
        {},
        ("False", "ObjectivesMissed"),
        "failed and fewer than 99.9 % were answered and more than 5 %",
    ),
    "too little traffic": (_measured(_latency(0, 0, 99, 0, errors=99)), {}, ("Unknown", "TooLittleTraffic"), "lower spec.slo.minSamples"),
    "enough of the fewer": (_measured(_latency(0, 0, 99, 0)), {"minSamples": 99}, ("False", "ObjectivesMissed"), "longer"),
    "streams say nothing of the latency": (
        _measured(window_of(1000, latency=(0, 0, 0, 5), first_token=(995, 0, 0, 0), bounds=BOUNDS)),
        {},
        ("True", "ObjectivesMet"),
        "kept",
    ),
    "the other window": (_measured(_latency(1000, 0, 0, 0), name="5m"), {}, ("Unknown", "TooLittleTraffic"), "within 1h"),
    "the short window": (_measured(_latency(1000, 0, 0, 0), name="5m"), {"window": "5m"}, ("True", "ObjectivesMet"), "within 5m"),
    "no report": (_fleet(), {}, ("Unknown", "NoReport"), "see the condition Ready"),
}


@pytest.mark.parametrize(("fleet", "slo", "expected", "message"), OBJECTIVES.values(), ids=OBJECTIVES.keys())
def test_objectives_are_judged_by_what_all_pods_measured(
    fleet: FleetHealth, slo: dict[str, Any], expected: tuple[str, str], message: str
) -> None:
    *found, told = _condition(ConditionType.SLO_MET, _view(fleet, {"slo": slo}))

    assert tuple(found) == expected
    assert message in told


def _pod(uid: str, revision: str, created: str) -> Manifest:
    metadata = {"name": f"bot-{uid}", "uid": uid, "creationTimestamp": created, "labels": {"pod-template-hash": revision}}
    return {"metadata": metadata, "status": {}}


def test_revisions_do_not_blur() -> None:
    good, bad = {"1h": _latency(1000, 0, 0, 0)}, {"1h": _latency(100, 0, 0, 0, errors=100)}
    fleet = _fleet(report_of("old", revision="h0", windows=good), report_of("new", revision="h1", model="NotFound", windows=bad))
    pods = (_pod("old", "h0", "2026-11-22T10:00:00Z"), _pod("new", "h1", "2026-11-22T11:00:00Z"))

    known, unknown = _view(fleet, updated=1, pods=pods), _view(fleet, updated=1)

    assert _condition(ConditionType.SLO_MET, known)[:2] == ("False", "ObjectivesMissed")
    assert _condition(ConditionType.MODEL_AVAILABLE, known)[:2] == ("False", "ModelNotFound")
    assert _condition(ConditionType.SLO_MET, unknown)[:2] == ("Unknown", "RollingOut")


def test_report_of_a_pod_that_was_not_listed_counts_for_its_revision() -> None:
    fleet = _fleet(report_of("a"), report_of("b", model="Retired"))

    view = _view(fleet, updated=1, pods=(_pod("a", "h1", "2026-11-22T11:00:00Z"),))

    assert _condition(ConditionType.MODEL_AVAILABLE, view)[1] == "ModelRetired"


def test_overridden_scale_is_told_while_it_is_true() -> None:
    scaling = {"enabled": True, "minReplicas": 3, "maxReplicas": 7}

    status, reason, message = _condition(ConditionType.SCALE_OVERRIDDEN, _view(_fleet(), {"autoscaling": scaling}))

    assert (status, reason) == ("True", "Autoscaling")
    assert "(3 to 7)" in message
    assert message.endswith("Set spec.autoscaling.enabled: false to scale otherwise.")
    for spec in ({}, {"autoscaling": scaling | {"enabled": False}}, {"autoscaling": scaling, "replicas": 0}):
        assert ConditionType.SCALE_OVERRIDDEN not in {condition["type"] for condition in derive_conditions(_view(_fleet(), spec))}


def test_nothing_is_expected_of_a_stopped_service() -> None:
    found = derive_conditions(_view(_fleet(), {"replicas": 0}))

    assert {condition["reason"] for condition in found} == {ConditionReason.SCALED_TO_ZERO}
    assert all(condition["message"].endswith("Scale up.") for condition in found)


CREDENTIALS = {
    "Accepted": ("True", "Accepted"),
    "Missing": ("False", "SecretMissing"),
    "Rejected": ("False", "KeyRejected"),
    "Unverified": ("Unknown", "Unverified"),
}


@pytest.mark.parametrize(("state", "expected"), CREDENTIALS.items())
def test_key_is_judged_by_what_the_api_told_the_pods(state: str, expected: tuple[str, str]) -> None:
    assert _condition(ConditionType.CREDENTIALS_VALID, _view(_fleet(report_of("a", credentials=state))))[:2] == expected


def test_every_reason_that_is_declared_is_given_in_some_situation() -> None:
    scaled = {"autoscaling": {"enabled": True}}
    fleets = [situation[0] for table in (MODELS, UPSTREAMS) for situation in table.values()] + [one[0] for one in OBJECTIVES.values()]
    keys = (_fleet(report_of("a", credentials=state)) for state in CREDENTIALS)
    views = (
        *(_view(fleet) for fleet in (*fleets, *keys)),
        _view(_fleet(report_of("a")), scaled, updated=1, ready=1),
        _view(_fleet(), {"replicas": 0}),
    )
    found = {(condition["type"], condition["reason"]) for view in views for condition in derive_conditions(view)}

    assert found == {(kind, reason) for kind, reasons in REASONS.items() for reason in reasons}


def test_messages_do_not_move_with_traffic() -> None:
    before = derive_conditions(_view(_measured(_latency(0, 0, 1000, 0, errors=100))))
    after = derive_conditions(_view(_measured(_latency(0, 0, 2000, 0, errors=300))))

    assert before == after
