"""Statuses as wholes: what is in them, what they differ in, and what holds for all of them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_operator.fleet import FleetHealth, merge
from chatbot_operator.observed import Observed
from chatbot_operator.resource import ChatbotStatus
from chatbot_operator.status import derive_invalid_status, derive_status, substantially_differs
from tests.observations import ALWAYS, BEFORE, NOW, UNREADY, conditions_of, deployment_of, derived, fleet_of, fleets, observations
from tests.resources import SETTINGS, manifest_of, report_of, resource_of, window_of


def test_ready_status_is_complete() -> None:
    status = derived(Observed(deployment=deployment_of()), fleet_of("a", "b", "c"))

    conditions = status.pop("conditions")
    assert status == {
        "observedGeneration": 1,
        "replicas": 3,
        "readyReplicas": 3,
        "updatedReplicas": 3,
        "selector": "app.kubernetes.io/instance=bot,app.kubernetes.io/managed-by=chatbot-operator,app.kubernetes.io/name=chatbot",
        "ready": "3/3",
        "state": "Ready",
        "summary": "3 of 3 pods are ready.",
        "image": "general-purpose-chatbot:0.1.0",
        "endpoint": "http://bot.demo.svc",
        "operatorVersion": "0.1.0",
        "upstream": {"breaker": "closed", "breakerClosed": 3, "breakerOpen": 0, "breakerHalfOpen": 0},
        "credentials": {"state": "Accepted", "podsCurrent": 3},
        "slo": {"samples": 0},
        "usage": {"inputTokens": 0, "outputTokens": 0},
    }
    assert [(condition["type"], condition["status"], condition["reason"]) for condition in conditions] == [
        ("Ready", "True", "PodsReady"),
        ("Available", "True", "PodsServing"),
        ("CredentialsValid", "True", "Accepted"),
        ("ModelAvailable", "True", "ModelFound"),
        ("UpstreamAvailable", "True", "BreakersClosed"),
        ("SLOMet", "Unknown", "TooLittleTraffic"),
    ]
    assert {condition["lastTransitionTime"] for condition in conditions} == {"2026-11-22T12:00:00Z"}
    assert {condition["observedGeneration"] for condition in conditions} == {1}


@pytest.mark.parametrize(
    ("state", "credentials_valid"),
    [("not_ready", ("True", "Accepted")), ("degraded", ("Unknown", "Unverified"))],
    ids=["still checking", "could not check"],
)
def test_a_pod_that_just_started_says_nothing_of_the_key(state: str, credentials_valid: tuple[str, str]) -> None:
    fleet = merge([report_of("old"), report_of("new", credentials="Unverified", state=state)], expected=2)

    status = derived(Observed(deployment=deployment_of()), fleet)

    assert conditions_of(status)["CredentialsValid"] == credentials_valid


def test_the_key_is_unverified_while_no_pod_has_decided() -> None:
    fleet = merge([report_of("a", credentials="Unverified", state="not_ready")], expected=1)

    status = derived(Observed(deployment=deployment_of()), fleet)

    assert conditions_of(status)["CredentialsValid"] == ("Unknown", "Unverified")


def test_conditions_beside_ready_never_make_a_ready_resource_wait() -> None:
    worst: dict[str, Any] = {"model": "Retired", "breaker": "open", "credentials": "Rejected"}
    window = window_of(1000, errors=1000)
    fleet = merge([report_of("a", **worst, windows={"1h": window})], expected=1)

    status = derived(Observed(deployment=deployment_of()), fleet)

    found = {kind: value for kind, (value, _) in conditions_of(status).items()}
    assert {found[kind] for kind in ("CredentialsValid", "ModelAvailable", "UpstreamAvailable", "SLOMet")} == {"False"}
    assert found["Ready"] == "True"
    assert not {"Reconciling", "Stalled"} & set(found)


@pytest.mark.parametrize(("credentials", "reason"), [("Rejected", "KeyRejected"), ("Missing", "SecretMissing")])
def test_pods_that_serve_on_with_their_old_key_stay_ready(credentials: str, reason: str) -> None:
    status = derived(Observed(deployment=deployment_of()), fleet_of("a", "b", "c", credentials=credentials))

    assert conditions_of(status)["Ready"] == ("True", "PodsReady")
    assert conditions_of(status)["CredentialsValid"] == ("False", reason)
    assert not {"Stalled", "Reconciling"} & set(conditions_of(status))
    assert (status["state"], status["credentials"]["podsCurrent"]) == ("Degraded", 0)


def test_outage_of_the_api_degrades_and_stays_ready() -> None:
    status = derived(Observed(deployment=deployment_of()), fleet_of("a", "b", "c", breaker="open", last_error_type="overloaded_error"))

    assert conditions_of(status)["Ready"] == ("True", "PodsReady")
    assert status["state"] == "Degraded"
    assert "(overloaded_error)" in status["summary"]
    assert status["upstream"] == {
        "breaker": "open",
        "breakerClosed": 0,
        "breakerOpen": 3,
        "breakerHalfOpen": 0,
        "lastErrorType": "overloaded_error",
    }


def test_model_that_is_retired_under_serving_pods_degrades_and_stays_ready() -> None:
    status = derived(Observed(deployment=deployment_of()), fleet_of("a", "b", "c", model="Retired"))

    assert conditions_of(status)["Ready"] == ("True", "PodsReady")
    assert conditions_of(status)["ModelAvailable"] == ("False", "ModelRetired")
    assert (status["state"], status["summary"].endswith("see the condition ModelAvailable.")) == ("Degraded", True)


def test_missed_objectives_change_neither_readiness_nor_state() -> None:
    window = window_of(1000, errors=500, latency=(0, 0, 500))
    fleet = merge([report_of("a", windows={"1h": window}, tokens={"input": 123_456, "output": 7})], expected=1)

    status = derived(Observed(deployment=deployment_of()), fleet)

    assert (conditions_of(status)["SLOMet"], status["state"]) == (("False", "ObjectivesMissed"), "Ready")
    assert status["slo"] == {"p95Milliseconds": 1010, "errorRatePercent": "50.00", "availabilityPercent": "50.00", "samples": 1000}
    assert status["usage"] == {"inputTokens": 123_000, "outputTokens": 7}


def test_one_request_more_is_seldom_another_status() -> None:
    def after(requests: int) -> dict[str, Any]:
        window = window_of(requests, latency=(requests, 0, 0), first_token=(requests, 0, 0))
        return derived(Observed(deployment=deployment_of()), merge([report_of("a", windows={"1h": window})], expected=1))

    assert not substantially_differs(after(123_400), after(123_499))
    assert after(123_400)["slo"]["timeToFirstTokenP95Milliseconds"] == 95


def test_pods_that_are_decided_elsewhere_are_those_that_are_wanted() -> None:
    status = derive_status(
        resource_of({"replicas": 3, "autoscaling": {"enabled": True}}),
        Observed(deployment=deployment_of(replicas=5, ready=5, updated=5)),
        fleet_of("a"),
        settings=SETTINGS,
        now=NOW,
        replicas=5,
    )

    assert (status["ready"], status["state"]) == ("5/5", "Ready")
    assert conditions_of(status)["ScaleOverridden"] == ("True", "Autoscaling")


def test_stopped_is_ready_and_not_available() -> None:
    resource = resource_of({"replicas": 0})

    ending = derived(Observed(deployment=deployment_of(replicas=2, ready=1, updated=2)), resource=resource)
    draining = derived(Observed(deployment=deployment_of(replicas=0, ready=0, updated=0, terminating=2)), resource=resource)
    stopped = derived(Observed(deployment=deployment_of(replicas=0, ready=0, updated=0)), resource=resource)

    assert conditions_of(ending)["Reconciling"] == conditions_of(draining)["Reconciling"] == ("True", "ScalingDown")
    assert stopped["state"] == "Stopped"
    assert set(conditions_of(stopped)) == ALWAYS
    assert (conditions_of(stopped)["Ready"], conditions_of(stopped)["Available"]) == (("True", "ScaledToZero"), ("False", "ScaledToZero"))
    assert {conditions_of(stopped)[kind] for kind in ALWAYS - {"Ready", "Available"}} == {("Unknown", "ScaledToZero")}


def test_available_during_a_rollout() -> None:
    assert conditions_of(derived(Observed(deployment=UNREADY)))["Available"] == ("True", "PodsServing")


def test_transition_time_moves_only_with_the_status_of_the_condition() -> None:
    first = derived(Observed(deployment=deployment_of(ready=0)))
    later = NOW + timedelta(minutes=1)

    second = derived(Observed(deployment=deployment_of(ready=1)), resource=resource_of(status=first), now=later)

    times = {condition["type"]: condition["lastTransitionTime"] for condition in second["conditions"]}
    assert times["Ready"] == times["Reconciling"] == "2026-11-22T12:00:00Z"
    assert times["Available"] == "2026-11-22T12:01:00Z"


def test_only_time_is_no_difference_in_substance() -> None:
    first = derived(Observed(deployment=deployment_of()))
    again = derived(Observed(deployment=deployment_of()), now=NOW + timedelta(hours=1))

    assert not substantially_differs(first, again)
    assert not substantially_differs(first, again | {"conditions": again["conditions"][::-1]})
    assert substantially_differs(first, derived(Observed(deployment=deployment_of(ready=2))))
    assert substantially_differs({"observedGeneration": -1}, first)


def test_condition_of_another_writer_is_no_difference_in_substance() -> None:
    status = derived(Observed(deployment=deployment_of()), fleet_of("a"))
    foreign = {"type": "Audited", "status": "True", "reason": "Passed", "message": "Fine.", "lastTransitionTime": BEFORE}

    assert not substantially_differs({**status, "conditions": [*status["conditions"], foreign]}, status)
    assert substantially_differs({**status, "conditions": status["conditions"][1:]}, status)


def test_invalid_spec_is_stalled_and_keeps_what_was_known() -> None:
    manifest = manifest_of(metadata={"generation": 4}, status={"readyReplicas": 3, "replicas": 3, "observedGeneration": 3})

    status = derive_invalid_status(manifest, "demo/bot: spec.replicas: too many", settings=SETTINGS, now=NOW)

    assert (status["observedGeneration"], status["readyReplicas"], status["state"]) == (4, 3, "Stalled")
    assert conditions_of(status) == {"Ready": ("False", "InvalidSpec"), "Stalled": ("True", "InvalidSpec")}
    assert "spec.replicas: too many. Correct the spec" in status["summary"]


def test_invalid_spec_leaves_what_was_said_of_the_pods() -> None:
    before = derived(Observed(deployment=deployment_of()), fleet_of("a", "b", "c"))
    foreign = {"type": "Audited", "status": "True", "reason": "Passed", "message": "Fine.", "lastTransitionTime": BEFORE}
    manifest = manifest_of(metadata={"generation": 2}, status=before | {"conditions": [*before["conditions"], foreign]})

    status = derive_invalid_status(manifest, "too many", settings=SETTINGS, now=NOW)

    said = {condition["type"]: condition for condition in status["conditions"]}
    assert set(said) == ALWAYS | {"Stalled"}
    assert (said["Available"]["status"], said["Available"]["observedGeneration"]) == ("True", 1)
    again = derive_invalid_status(manifest | {"status": status}, "too many", settings=SETTINGS, now=NOW)
    assert not substantially_differs(status, again)


def test_image_is_the_live_one_and_else_the_intended() -> None:
    assert derived(Observed())["image"] == SETTINGS.service_image
    assert derived(Observed(), resource=resource_of({"image": "chat:2"}))["image"] == "chat:2"


def test_endpoint_names_the_port_unless_it_is_http() -> None:
    assert derived(Observed(), resource=resource_of({"service": {"port": 8080}}))["endpoint"] == "http://bot.demo.svc:8080"


@given(observed=observations, fleet=fleets, replicas=st.integers(0, 4))
def test_any_status_is_consistent(observed: Observed, fleet: FleetHealth, replicas: int) -> None:
    resource = resource_of({"replicas": replicas})

    status = derived(observed, fleet, resource=resource)

    conditions = conditions_of(status)
    in_progress, failed, ready = "Reconciling" in conditions, "Stalled" in conditions, conditions["Ready"][0] == "True"
    assert [in_progress, failed, ready].count(True) == 1  # what all who wait for it build on
    assert failed == (status["state"] == "Stalled")
    assert all(condition["message"] for condition in status["conditions"])
    ChatbotStatus.model_validate(status)  # every bound of the schema holds
    again = derived(observed, fleet, resource=replace(resource, status=status), now=NOW + timedelta(seconds=1))
    assert not substantially_differs(status, again)
