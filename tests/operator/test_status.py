"""Statuses of typical situations, and what holds for all of them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_operator.fleet import FleetHealth, merge
from chatbot_operator.resource import ChatbotDeployment, ChatbotStatus
from chatbot_operator.resource.status import BORN
from chatbot_operator.status import Observed, Problem, derive_invalid_status, derive_status, substantially_differs
from tests.kstatus import verdict_of
from tests.resources import SETTINGS, manifest_of, report_of, resource_of, window_of

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
BEFORE = "2026-11-22T11:00:00Z"
ALWAYS = {"Ready", "Available", "CredentialsValid", "ModelAvailable", "UpstreamAvailable", "SLOMet"}
"""Conditions that every resource has; the others are there only while they are true."""
CREATE_SECRET = "kubectl create secret generic chatbot-secrets --namespace demo --from-literal=anthropic-api-key=…"


def _deployment(
    *, replicas: int = 3, ready: int = 3, updated: int = 3, conditions: Sequence[dict[str, str]] = (), **metadata: int
) -> dict[str, Any]:
    status = {
        "observedGeneration": metadata.get("observed", 1),
        "replicas": replicas,
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": metadata.get("available", ready),
        "conditions": [*conditions],
    }
    containers = [{"name": "chatbot", "image": "general-purpose-chatbot:0.1.0"}]
    return {
        "metadata": {"generation": metadata.get("generation", 1)},
        "spec": {"template": {"spec": {"containers": containers}}},
        "status": {key: value for key, value in status.items() if value},
    }


def _pod(uid: str, *, ready: bool = False, revision: str = "h1", created: str = "2026-11-22T11:30:00Z", **status: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}, *status.pop("conditions", [])]
    return {
        "metadata": {
            "name": f"bot-{uid}",
            "namespace": "demo",
            "uid": uid,
            "creationTimestamp": created,
            "labels": {"pod-template-hash": revision},
        },
        "status": {"conditions": conditions, **status},
    }


def _waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"containerStatuses": [{"name": "chatbot", "image": "chat:1", "state": {"waiting": {"reason": reason, "message": message}}}]}


def _derive(
    observed: Observed, fleet: FleetHealth | None = None, *, resource: ChatbotDeployment | None = None, now: datetime = NOW
) -> dict[str, Any]:
    return derive_status(resource or resource_of(), observed, fleet or merge([], expected=0), settings=SETTINGS, now=now)


def _conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {condition["type"]: (condition["status"], condition["reason"]) for condition in status["conditions"]}


def _message(status: dict[str, Any], kind: str) -> str:
    return next(str(condition["message"]) for condition in status["conditions"] if condition["type"] == kind)


def _fleet(*uids: str, **fields: str) -> FleetHealth:
    return merge([report_of(uid, **fields) for uid in uids], expected=len(uids))


def test_ready_status_is_complete() -> None:
    status = _derive(Observed(deployment=_deployment()), _fleet("a", "b", "c"))

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

    status = _derive(Observed(deployment=_deployment()), fleet)

    assert _conditions(status)["CredentialsValid"] == credentials_valid


def test_the_key_is_unverified_while_no_pod_has_decided() -> None:
    fleet = merge([report_of("a", credentials="Unverified", state="not_ready")], expected=1)

    status = _derive(Observed(deployment=_deployment()), fleet)

    assert _conditions(status)["CredentialsValid"] == ("Unknown", "Unverified")


UNREADY = _deployment(replicas=4, ready=3, updated=1)
DEADLINE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
COMPLETE = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
QUOTA = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: pods"}
OLD = _pod("old", ready=True, revision="h0", created="2026-11-22T10:00:00Z")
UNSCHEDULABLE: dict[str, Any] = {
    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available."}]
}
CRASH: dict[str, Any] = {
    "containerStatuses": [
        {
            "name": "chatbot",
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 2, "message": "PORT: is no number\n"}},
        }
    ]
}
SITUATIONS: dict[str, tuple[Observed, FleetHealth, str, tuple[str, str], str]] = {
    "nothing there yet": (Observed(), _fleet(), "Pending", ("Reconciling", "Creating"), "is being created"),
    "name taken": (
        Observed(deployment=_deployment(), problem=Problem("Conflict", "Service demo/bot is not ours.")),
        _fleet(),
        "Stalled",
        ("Stalled", "Conflict"),
        "Service demo/bot is not ours.",
    ),
    "pods starting": (
        Observed(deployment=_deployment(ready=0)),
        _fleet(),
        "Pending",
        ("Reconciling", "RollingOut"),
        "0 of 3 pods are ready",
    ),
    "rolling": (
        Observed(deployment=UNREADY),
        _fleet(),
        "Progressing",
        ("Reconciling", "RollingOut"),
        "3 of 3 pods are ready, 1 are of this generation",
    ),
    "controller has not looked yet": (
        Observed(deployment=_deployment(generation=2, conditions=[DEADLINE])),
        _fleet(),
        "Progressing",
        ("Reconciling", "RollingOut"),
        "3 of 3 pods are ready; this generation is about to be rolled out.",
    ),
    "scaling up": (
        Observed(deployment=_deployment(replicas=3, ready=2, updated=3)),
        _fleet(),
        "Progressing",
        ("Reconciling", "RollingOut"),
        "2 of 3",
    ),
    "ready for less than a few seconds": (
        Observed(deployment=_deployment(available=2, conditions=[COMPLETE])),
        _fleet(),
        "Progressing",
        ("Reconciling", "RollingOut"),
        "3 of 3 pods are ready; they must stay so for a few seconds.",
    ),
    "secret missing": (
        Observed(deployment=_deployment(ready=0), pods=(_pod("a"),)),
        _fleet("a", credentials="Missing"),
        "Pending",
        ("Reconciling", "WaitingForSecret"),
        CREATE_SECRET,
    ),
    "key refused": (
        Observed(deployment=_deployment(ready=0), pods=(_pod("a"),)),
        _fleet("a", credentials="Rejected"),
        "Stalled",
        ("Stalled", "KeyRejected"),
        f"{CREATE_SECRET} --dry-run=client --output=yaml | kubectl apply --filename=-",
    ),
    "key refused in a rollout that old pods survive": (
        Observed(deployment=UNREADY, pods=(OLD, _pod("a"))),
        merge([report_of("old", revision="h0"), report_of("a", credentials="Rejected")], expected=2),
        "Stalled",
        ("Stalled", "KeyRejected"),
        "The API refuses the key",
    ),
    "key refused by old pods only": (
        Observed(deployment=UNREADY, pods=(_pod("old", revision="h0", created=BEFORE), _pod("a"))),
        merge([report_of("old", revision="h0", credentials="Rejected"), report_of("a", credentials="Unverified")], expected=2),
        "Progressing",
        ("Reconciling", "RollingOut"),
        "3 of 3",
    ),
    "key refused to pods that serve on, while one merely starts": (
        Observed(deployment=_deployment(ready=2), pods=(_pod("a", ready=True), _pod("b", ready=True), _pod("c"))),
        _fleet("a", "b", credentials="Rejected"),
        "Progressing",
        ("Reconciling", "RollingOut"),
        "2 of 3",
    ),
    "readiness known from EndpointSlices": (
        Observed(
            deployment=_deployment(ready=2),
            endpoint_slices=({"endpoints": [{"conditions": {"ready": True}, "targetRef": {"uid": "a"}}]},),
        ),
        _fleet("a", credentials="Rejected"),
        "Progressing",
        ("Reconciling", "RollingOut"),
        "2 of 3",
    ),
    "model unknown": (
        Observed(deployment=_deployment(ready=0), pods=(_pod("a"),)),
        _fleet("a", model="NotFound"),
        "Stalled",
        ("Stalled", "ModelRejected"),
        "claude-sonnet-5-5 does not exist or is not open to this key. Set spec.model.name",
    ),
    "model retired": (
        Observed(deployment=_deployment(ready=0), pods=(_pod("a"),)),
        _fleet("a", model="Retired"),
        "Stalled",
        ("Stalled", "ModelRejected"),
        "is retired",
    ),
    "image not found": (
        Observed(deployment=_deployment(ready=0), pods=(_pod("a", **_waiting("ErrImagePull", "not found")),)),
        _fleet(),
        "Pending",
        ("Reconciling", "ImagePullFailed"),
        "The image chat:1 cannot be pulled: not found. Correct spec.image",
    ),
    "image not found for too long": (
        Observed(deployment=_deployment(ready=0, conditions=[DEADLINE]), pods=(_pod("a", **_waiting("ImagePullBackOff")),)),
        _fleet(),
        "Stalled",
        ("Stalled", "ImagePullFailed"),
        "cannot be pulled",
    ),
    "image that may not be pulled": (
        Observed(deployment=_deployment(ready=0), pods=(_pod("a", **_waiting("ErrImageNeverPull")),)),
        _fleet(),
        "Stalled",
        ("Stalled", "ImagePullFailed"),
        "cannot be pulled",
    ),
    "no node": (
        Observed(deployment=_deployment(ready=0), pods=(_pod("a", **UNSCHEDULABLE),)),
        _fleet(),
        "Pending",
        ("Reconciling", "Unschedulable"),
        "0/1 nodes are available. Add nodes or lower spec.resources.requests.",
    ),
    "crash": (
        Observed(deployment=_deployment(ready=0), pods=(_pod("a", **CRASH),)),
        _fleet(),
        "Pending",
        ("Reconciling", "CrashLoop"),
        "exit code 2: PORT: is no number. See kubectl logs --namespace demo bot-a --previous.",
    ),
    "quota": (
        Observed(deployment=_deployment(replicas=0, ready=0, updated=0, conditions=[QUOTA])),
        _fleet(),
        "Pending",
        ("Reconciling", "PodsRefused"),
        "exceeded quota: pods. Raise the quota",
    ),
    "quota for too long": (
        Observed(deployment=_deployment(replicas=0, ready=0, updated=0, conditions=[QUOTA, DEADLINE])),
        _fleet(),
        "Stalled",
        ("Stalled", "ProgressDeadlineExceeded"),
        "exceeded quota: pods.",
    ),
    "a crash and a quota": (
        Observed(deployment=_deployment(ready=1, conditions=[QUOTA]), pods=(_pod("a", **CRASH),)),
        _fleet(),
        "Progressing",
        ("Reconciling", "CrashLoop"),
        "PORT: is no number.",
    ),
    "too long for no known reason": (
        Observed(deployment=_deployment(ready=1, conditions=[DEADLINE])),
        _fleet(),
        "Stalled",
        ("Stalled", "ProgressDeadlineExceeded"),
        "Only 1 of 3 pods became ready in time. See kubectl describe deployment --namespace demo bot.",
    ),
}


@pytest.mark.parametrize(("observed", "fleet", "state", "condition", "message"), SITUATIONS.values(), ids=SITUATIONS.keys())
def test_situation_is_named_with_what_to_do(
    observed: Observed, fleet: FleetHealth, state: str, condition: tuple[str, str], message: str
) -> None:
    status = _derive(observed, fleet)

    kind, reason = condition
    assert status["state"] == state
    assert _conditions(status)["Ready"] == ("False", reason)
    assert _conditions(status)[kind] == ("True", reason)
    assert message in _message(status, kind)
    assert message in status["summary"]
    assert verdict_of(manifest_of(status=status)) == {"Reconciling": "InProgress", "Stalled": "Failed"}[kind]


def test_waiting_for_readiness_ends_when_this_generation_is_ready_and_not_before() -> None:
    ready = _derive(Observed(deployment=_deployment()))

    assert verdict_of(manifest_of(status=BORN.model_dump(by_alias=True, exclude_none=True, mode="json"))) == "InProgress"
    assert verdict_of(manifest_of(status=ready, metadata={"generation": 2})) == "InProgress"
    assert verdict_of(manifest_of(status=ready)) == "Current"


def test_conditions_beside_ready_never_make_a_ready_resource_wait() -> None:
    worst = {"model": "Retired", "breaker": "open", "credentials": "Rejected"}
    window = window_of(1000, errors=1000)
    fleet = merge([report_of("a", **worst, windows={"1h": window})], expected=1)

    status = _derive(Observed(deployment=_deployment()), fleet)

    found = {kind: value for kind, (value, _) in _conditions(status).items()}
    assert {found[kind] for kind in ("CredentialsValid", "ModelAvailable", "UpstreamAvailable", "SLOMet")} == {"False"}
    assert verdict_of(manifest_of(status=status)) == "Current"


PROMPT = {"systemPromptFrom": {"configMapKeyRef": {"name": "prompts"}}}
AUTHORITY = {"upstream": {"caBundleRef": {"name": "company-ca"}}}


@pytest.mark.parametrize(
    ("spec", "created", "question"),
    [
        (PROMPT, "2026-11-22T11:59:00Z", "Does ConfigMap prompts with key system-prompt exist in namespace demo? See kubectl describe pod"),
        (PROMPT | AUTHORITY, "2026-11-22T11:59:00Z", "and ConfigMap company-ca with key ca.crt exist"),
        (PROMPT, "2026-11-22T11:59:45Z", None),
        ({}, "2026-11-22T11:59:00Z", None),
    ],
)
def test_pods_that_are_not_set_up_ask_for_the_config_maps_that_the_spec_names(
    spec: dict[str, Any], created: str, question: str | None
) -> None:
    pod = _pod("a", created=created, **_waiting("ContainerCreating"))

    waiting = _derive(Observed(deployment=_deployment(ready=0), pods=(pod,)), resource=resource_of(spec))
    late = _derive(Observed(deployment=_deployment(ready=0, conditions=[DEADLINE]), pods=(pod,)), resource=resource_of(spec))

    assert _conditions(waiting)["Reconciling"][1] == ("WaitingForConfigMap" if question else "RollingOut")
    assert _conditions(late)["Stalled"][1] == "ProgressDeadlineExceeded"
    if question:
        assert question in waiting["summary"]
        assert question in late["summary"]


LOST = Observed(deployment=_deployment(ready=2, conditions=[COMPLETE]))


def _once_ready() -> ChatbotDeployment:
    return resource_of(status=_derive(Observed(deployment=_deployment(conditions=[COMPLETE]))))


def test_pod_that_is_lost_after_the_rollout_degrades() -> None:
    lost = _derive(LOST, resource=_once_ready())
    still = _derive(LOST, resource=resource_of(status=lost))

    for status in (lost, still):
        assert status["state"] == "Degraded"
        assert _conditions(status)["Reconciling"] == ("True", "PodsUnavailable")
        assert status["summary"].startswith("Only 2 of 3 pods are ready. See kubectl get pods --namespace demo")


def test_crash_after_the_rollout_degrades() -> None:
    observed = replace(LOST, pods=(_pod("a", ready=True), _pod("b", ready=True), _pod("c", **CRASH)))

    status = _derive(observed, resource=_once_ready())

    assert status["state"] == "Degraded"
    assert _conditions(status)["Reconciling"] == ("True", "CrashLoop")


def test_growing_is_a_rollout_and_no_loss() -> None:
    grown = resource_of({"replicas": 5}, metadata={"generation": 2}, status=_once_ready().status)
    observed = Observed(deployment=_deployment(replicas=5, updated=5, ready=3, conditions=[COMPLETE]))

    status = _derive(observed, resource=grown)
    later = _derive(observed, resource=replace(grown, status=status))

    for each in (status, later):
        assert each["state"] == "Progressing"
        assert _conditions(each)["Reconciling"] == ("True", "RollingOut")
        assert each["summary"] == "3 of 5 pods are ready, 5 are of this generation."


def _missing_since(since: timedelta, reason: str = "SecretMissing") -> ChatbotDeployment:
    condition = {
        "type": "CredentialsValid",
        "status": "False",
        "reason": reason,
        "lastTransitionTime": (NOW - since).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return resource_of(status={"conditions": [condition]})


@pytest.mark.parametrize(("seconds", "kind"), [(0, "Reconciling"), (179, "Reconciling"), (180, "Stalled"), (3600, "Stalled")])
def test_missing_secret_stalls_after_three_minutes(seconds: int, kind: str) -> None:
    observed = Observed(deployment=_deployment(ready=0), pods=(_pod("a"),))

    status = _derive(observed, _fleet("a", credentials="Missing"), resource=_missing_since(timedelta(seconds=seconds)))

    assert kind in _conditions(status)
    assert f"Create it: {CREATE_SECRET} (if the Secret exists without that key, append --dry-run=client" in _message(status, kind)
    assert status["credentials"]["state"] == "Missing"


def test_missing_secret_heals_without_a_trace() -> None:
    waiting = _derive(Observed(deployment=_deployment(ready=0), pods=(_pod("a"),)), _fleet("a", credentials="Missing"))

    healed = _derive(Observed(deployment=_deployment()), _fleet("a", "b", "c"), resource=resource_of(status=waiting))

    assert set(_conditions(healed)) == ALWAYS
    assert {_conditions(healed)[kind][0] for kind in ALWAYS - {"SLOMet"}} == {"True"}


@pytest.mark.parametrize(("credentials", "reason"), [("Rejected", "KeyRejected"), ("Missing", "SecretMissing")])
def test_pods_that_serve_on_with_their_old_key_stay_ready(credentials: str, reason: str) -> None:
    status = _derive(Observed(deployment=_deployment()), _fleet("a", "b", "c", credentials=credentials))

    assert _conditions(status)["Ready"] == ("True", "PodsReady")
    assert _conditions(status)["CredentialsValid"] == ("False", reason)
    assert not {"Stalled", "Reconciling"} & set(_conditions(status))
    assert (status["state"], status["credentials"]["podsCurrent"]) == ("Degraded", 0)


def test_outage_of_the_api_degrades_and_stays_ready() -> None:
    status = _derive(Observed(deployment=_deployment()), _fleet("a", "b", "c", breaker="open", last_error_type="overloaded_error"))

    assert _conditions(status)["Ready"] == ("True", "PodsReady")
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
    status = _derive(Observed(deployment=_deployment()), _fleet("a", "b", "c", model="Retired"))

    assert _conditions(status)["Ready"] == ("True", "PodsReady")
    assert _conditions(status)["ModelAvailable"] == ("False", "ModelRetired")
    assert (status["state"], status["summary"].endswith("see the condition ModelAvailable.")) == ("Degraded", True)


def test_missed_objectives_change_neither_readiness_nor_state() -> None:
    window = window_of(1000, errors=500, latency=(0, 0, 500))
    fleet = merge([report_of("a", windows={"1h": window}, tokens={"input": 123_456, "output": 7})], expected=1)

    status = _derive(Observed(deployment=_deployment()), fleet)

    assert (_conditions(status)["SLOMet"], status["state"]) == (("False", "ObjectivesMissed"), "Ready")
    assert status["slo"] == {"p95Milliseconds": 1010, "errorRatePercent": "50.00", "availabilityPercent": "50.00", "samples": 1000}
    assert status["usage"] == {"inputTokens": 123_000, "outputTokens": 7}


def test_one_request_more_is_seldom_another_status() -> None:
    def after(requests: int) -> dict[str, Any]:
        window = window_of(requests, latency=(requests, 0, 0), first_token=(requests, 0, 0))
        return _derive(Observed(deployment=_deployment()), merge([report_of("a", windows={"1h": window})], expected=1))

    assert not substantially_differs(after(123_400), after(123_499))
    assert after(123_400)["slo"]["timeToFirstTokenP95Milliseconds"] == 95


def test_pods_that_are_decided_elsewhere_are_those_that_are_wanted() -> None:
    status = derive_status(
        resource_of({"replicas": 3, "autoscaling": {"enabled": True}}),
        Observed(deployment=_deployment(replicas=5, ready=5, updated=5)),
        _fleet("a"),
        settings=SETTINGS,
        now=NOW,
        replicas=5,
    )

    assert (status["ready"], status["state"]) == ("5/5", "Ready")
    assert _conditions(status)["ScaleOverridden"] == ("True", "Autoscaling")


def test_stopped_is_ready_and_not_available() -> None:
    resource = resource_of({"replicas": 0})

    ending = _derive(Observed(deployment=_deployment(replicas=2, ready=1, updated=2)), resource=resource)
    stopped = _derive(Observed(deployment=_deployment(replicas=0, ready=0, updated=0)), resource=resource)

    assert _conditions(ending)["Reconciling"] == ("True", "ScalingDown")
    assert stopped["state"] == "Stopped"
    assert set(_conditions(stopped)) == ALWAYS
    assert (_conditions(stopped)["Ready"], _conditions(stopped)["Available"]) == (("True", "ScaledToZero"), ("False", "ScaledToZero"))
    assert {_conditions(stopped)[kind] for kind in ALWAYS - {"Ready", "Available"}} == {("Unknown", "ScaledToZero")}


def test_available_during_a_rollout() -> None:
    assert _conditions(_derive(Observed(deployment=UNREADY)))["Available"] == ("True", "PodsServing")


def test_transition_time_moves_only_with_the_status_of_the_condition() -> None:
    first = _derive(Observed(deployment=_deployment(ready=0)))
    later = NOW + timedelta(minutes=1)

    second = _derive(Observed(deployment=_deployment(ready=1)), resource=resource_of(status=first), now=later)

    times = {condition["type"]: condition["lastTransitionTime"] for condition in second["conditions"]}
    assert times["Ready"] == times["Reconciling"] == "2026-11-22T12:00:00Z"
    assert times["Available"] == "2026-11-22T12:01:00Z"


def test_only_time_is_no_difference_in_substance() -> None:
    first = _derive(Observed(deployment=_deployment()))
    again = _derive(Observed(deployment=_deployment()), now=NOW + timedelta(hours=1))

    assert not substantially_differs(first, again)
    assert not substantially_differs(first, again | {"conditions": again["conditions"][::-1]})
    assert substantially_differs(first, _derive(Observed(deployment=_deployment(ready=2))))
    assert substantially_differs({"observedGeneration": -1}, first)


def test_condition_of_another_writer_is_no_difference_in_substance() -> None:
    status = _derive(Observed(deployment=_deployment()), _fleet("a"))
    foreign = {"type": "Audited", "status": "True", "reason": "Passed", "message": "Fine.", "lastTransitionTime": BEFORE}

    assert not substantially_differs({**status, "conditions": [*status["conditions"], foreign]}, status)
    assert substantially_differs({**status, "conditions": status["conditions"][1:]}, status)


def test_invalid_spec_is_stalled_and_keeps_what_was_known() -> None:
    manifest = manifest_of(metadata={"generation": 4}, status={"readyReplicas": 3, "replicas": 3, "observedGeneration": 3})

    status = derive_invalid_status(manifest, "demo/bot: spec.replicas: too many", settings=SETTINGS, now=NOW)

    assert (status["observedGeneration"], status["readyReplicas"], status["state"]) == (4, 3, "Stalled")
    assert _conditions(status) == {"Ready": ("False", "InvalidSpec"), "Stalled": ("True", "InvalidSpec")}
    assert "spec.replicas: too many. Correct the spec" in status["summary"]


def test_image_is_the_live_one_and_else_the_intended() -> None:
    assert _derive(Observed())["image"] == SETTINGS.service_image
    assert _derive(Observed(), resource=resource_of({"image": "chat:2"}))["image"] == "chat:2"


def test_endpoint_names_the_port_unless_it_is_http() -> None:
    assert _derive(Observed(), resource=resource_of({"service": {"port": 8080}}))["endpoint"] == "http://bot.demo.svc:8080"


counts = st.integers(0, 4)
deployments = st.none() | st.builds(
    lambda replicas, ready, updated, conditions, generation: _deployment(
        replicas=replicas, ready=ready, updated=updated, conditions=conditions, generation=generation
    ),
    counts,
    counts,
    counts,
    st.lists(st.sampled_from([DEADLINE, COMPLETE, QUOTA]), max_size=2),
    st.integers(1, 2),
)
pods = st.lists(
    st.builds(
        lambda uid, ready, revision, status: _pod(uid, ready=ready, revision=revision, **status),
        st.sampled_from("abc"),
        st.booleans(),
        st.sampled_from(["h0", "h1"]),
        st.sampled_from([{}, UNSCHEDULABLE, CRASH, _waiting("ImagePullBackOff", "x" * 5000)]),
    ),
    max_size=4,
)
fleets = st.lists(
    st.builds(
        lambda uid, credentials, model, breaker: report_of(uid, credentials=credentials, model=model, breaker=breaker),
        st.sampled_from("abc"),
        st.sampled_from(["Accepted", "Unverified", "Missing", "Rejected"]),
        st.sampled_from(["Available", "Unverified", "NotFound", "Retired"]),
        st.sampled_from(["closed", "open", "half_open"]),
    ),
    max_size=3,
).map(lambda reports: merge(reports, expected=3))
observations = st.builds(
    lambda deployment, found, problem: Observed(deployment=deployment, pods=tuple(found), problem=problem),
    deployments,
    pods,
    st.none() | st.just(Problem("Conflict", "taken " * 2000)),
)


@given(observed=observations, fleet=fleets, replicas=st.integers(0, 4))
def test_any_status_is_consistent(observed: Observed, fleet: FleetHealth, replicas: int) -> None:
    resource = resource_of({"replicas": replicas})

    status = _derive(observed, fleet, resource=resource)

    conditions = _conditions(status)
    in_progress, failed, ready = "Reconciling" in conditions, "Stalled" in conditions, conditions["Ready"][0] == "True"
    assert [in_progress, failed, ready].count(True) == 1  # what kstatus and kubectl wait build on
    assert failed == (status["state"] == "Stalled")
    assert verdict_of(manifest_of({"replicas": replicas}, status=status)) == (
        "InProgress" if in_progress else "Failed" if failed else "Current"
    )
    assert all(condition["message"] for condition in status["conditions"])
    ChatbotStatus.model_validate(status)  # every bound of the schema holds
    again = _derive(observed, fleet, resource=replace(resource, status=status), now=NOW + timedelta(seconds=1))
    assert not substantially_differs(status, again)
