"""Where a resource stands in each situation, with the words for it; the statuses are whole, so that what is seen is what is tested."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chatbot_operator.fleet import FleetHealth, merge
from chatbot_operator.observed import Observed, Problem, ProblemReason
from chatbot_operator.resource import ChatbotDeployment, Manifest
from tests.observations import (
    ALWAYS,
    BEFORE,
    COMPLETE,
    CRASH,
    DEADLINE,
    NOW,
    OLD,
    QUOTA,
    UNREADY,
    UNSCHEDULABLE,
    conditions_of,
    deployment_of,
    derived,
    fleet_of,
    message_of,
    pod_of,
    waiting_for,
)
from tests.resources import report_of, resource_of

PROGRESSING = {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "message": 'ReplicaSet "bot-h1" is progressing.'}
LATER = "2026-11-22T11:45:00Z"


def paused(**counts: int) -> Manifest:
    deployment = deployment_of(**counts, conditions=[{"type": "Progressing", "status": "Unknown", "reason": "DeploymentPaused"}])
    deployment["spec"]["paused"] = True
    return deployment


CREATE_SECRET = "kubectl create secret generic chatbot-secrets --namespace demo --from-literal=anthropic-api-key=…"
PATCH_SECRET = "--dry-run=client --output=yaml | kubectl patch secret chatbot-secrets --namespace demo --patch-file=/dev/stdin"

SITUATIONS: dict[str, tuple[Observed, FleetHealth, str, tuple[str, str], str]] = {
    "nothing there yet": (Observed(), fleet_of(), "Pending", ("Reconciling", "Creating"), "is being created"),
    "name taken": (
        Observed(deployment=deployment_of(), problem=Problem(ProblemReason.CONFLICT, "Service demo/bot is not ours.")),
        fleet_of(),
        "Stalled",
        ("Stalled", "Conflict"),
        "Service demo/bot is not ours.",
    ),
    "webhook out of reach": (
        Observed(deployment=deployment_of(), problem=Problem(ProblemReason.WEBHOOK_UNAVAILABLE, "It does not answer.", passing=True)),
        fleet_of(),
        "Progressing",
        ("Reconciling", "WebhookUnavailable"),
        "It does not answer.",
    ),
    "pods starting": (
        Observed(deployment=deployment_of(ready=0)),
        fleet_of(),
        "Pending",
        ("Reconciling", "RollingOut"),
        "0 of 3 pods are ready",
    ),
    "rolling": (
        Observed(deployment=UNREADY),
        fleet_of(),
        "Progressing",
        ("Reconciling", "RollingOut"),
        "3 of 3 pods are ready, 1 are of this generation",
    ),
    "controller has not looked yet": (
        Observed(deployment=deployment_of(generation=2, conditions=[DEADLINE])),
        fleet_of(),
        "Progressing",
        ("Reconciling", "RollingOut"),
        "3 of 3 pods are ready; this generation is about to be rolled out.",
    ),
    "scaling up": (
        Observed(deployment=deployment_of(replicas=3, ready=2, updated=3)),
        fleet_of(),
        "Progressing",
        ("Reconciling", "RollingOut"),
        "2 of 3",
    ),
    "ready for less than a few seconds": (
        Observed(deployment=deployment_of(available=2, conditions=[COMPLETE])),
        fleet_of(),
        "Progressing",
        ("Reconciling", "RollingOut"),
        "3 of 3 pods are ready; they must stay so for a few seconds.",
    ),
    "secret missing": (
        Observed(deployment=deployment_of(ready=0), pods=(pod_of("a"),)),
        fleet_of("a", credentials="Missing"),
        "Pending",
        ("Reconciling", "WaitingForSecret"),
        CREATE_SECRET,
    ),
    "key refused": (
        Observed(deployment=deployment_of(ready=0), pods=(pod_of("a"),)),
        fleet_of("a", credentials="Rejected"),
        "Stalled",
        ("Stalled", "KeyRejected"),
        f"{CREATE_SECRET} {PATCH_SECRET}",
    ),
    "key refused in a rollout that old pods survive": (
        Observed(deployment=UNREADY, pods=(OLD, pod_of("a"))),
        merge([report_of("old", revision="h0"), report_of("a", credentials="Rejected")], expected=2),
        "Stalled",
        ("Stalled", "KeyRejected"),
        "The API refuses the key",
    ),
    "key refused by old pods only": (
        Observed(deployment=UNREADY, pods=(pod_of("old", revision="h0", created=BEFORE), pod_of("a"))),
        merge([report_of("old", revision="h0", credentials="Rejected"), report_of("a", credentials="Unverified")], expected=2),
        "Progressing",
        ("Reconciling", "RollingOut"),
        "3 of 3",
    ),
    "key refused to pods that serve on, while one merely starts": (
        Observed(deployment=deployment_of(ready=2), pods=(pod_of("a", ready=True), pod_of("b", ready=True), pod_of("c"))),
        fleet_of("a", "b", credentials="Rejected"),
        "Progressing",
        ("Reconciling", "RollingOut"),
        "2 of 3",
    ),
    "readiness known from EndpointSlices": (
        Observed(
            deployment=deployment_of(ready=2),
            endpoint_slices=({"endpoints": [{"conditions": {"ready": True}, "targetRef": {"uid": "a"}}]},),
        ),
        fleet_of("a", credentials="Rejected"),
        "Progressing",
        ("Reconciling", "RollingOut"),
        "2 of 3",
    ),
    "model unknown": (
        Observed(deployment=deployment_of(ready=0), pods=(pod_of("a"),)),
        fleet_of("a", model="NotFound"),
        "Stalled",
        ("Stalled", "ModelRejected"),
        "claude-sonnet-5-5 does not exist or is not open to this key. Set spec.model.name",
    ),
    "model retired": (
        Observed(deployment=deployment_of(ready=0), pods=(pod_of("a"),)),
        fleet_of("a", model="Retired"),
        "Stalled",
        ("Stalled", "ModelRejected"),
        "is retired",
    ),
    "image not found": (
        Observed(deployment=deployment_of(ready=0), pods=(pod_of("a", **waiting_for("ErrImagePull", "not found")),)),
        fleet_of(),
        "Pending",
        ("Reconciling", "ImagePullFailed"),
        "The image chat:1 cannot be pulled: not found. Correct spec.image",
    ),
    "image not found for too long": (
        Observed(deployment=deployment_of(ready=0, conditions=[DEADLINE]), pods=(pod_of("a", **waiting_for("ImagePullBackOff")),)),
        fleet_of(),
        "Stalled",
        ("Stalled", "ImagePullFailed"),
        "cannot be pulled",
    ),
    "image that may not be pulled": (
        Observed(deployment=deployment_of(ready=0), pods=(pod_of("a", **waiting_for("ErrImageNeverPull")),)),
        fleet_of(),
        "Stalled",
        ("Stalled", "ImagePullFailed"),
        "cannot be pulled",
    ),
    "no node": (
        Observed(deployment=deployment_of(ready=0), pods=(pod_of("a", **UNSCHEDULABLE),)),
        fleet_of(),
        "Pending",
        ("Reconciling", "Unschedulable"),
        "0/1 nodes are available. Add nodes or lower spec.resources.requests.",
    ),
    "crash": (
        Observed(deployment=deployment_of(ready=0), pods=(pod_of("a", **CRASH),)),
        fleet_of(),
        "Pending",
        ("Reconciling", "CrashLoop"),
        "exit code 2: PORT: is no number. See kubectl logs --namespace demo bot-a --previous.",
    ),
    "quota": (
        Observed(deployment=deployment_of(replicas=0, ready=0, updated=0, conditions=[QUOTA])),
        fleet_of(),
        "Pending",
        ("Reconciling", "PodsRefused"),
        "exceeded quota: pods. Raise the quota",
    ),
    "quota for too long": (
        Observed(deployment=deployment_of(replicas=0, ready=0, updated=0, conditions=[QUOTA, DEADLINE])),
        fleet_of(),
        "Stalled",
        ("Stalled", "ProgressDeadlineExceeded"),
        "exceeded quota: pods.",
    ),
    "a crash and a quota": (
        Observed(deployment=deployment_of(ready=1, conditions=[QUOTA]), pods=(pod_of("a", **CRASH),)),
        fleet_of(),
        "Progressing",
        ("Reconciling", "CrashLoop"),
        "PORT: is no number.",
    ),
    "too long for no known reason": (
        Observed(deployment=deployment_of(ready=1, conditions=[DEADLINE])),
        fleet_of(),
        "Stalled",
        ("Stalled", "ProgressDeadlineExceeded"),
        "The pods of this generation did not become ready in time; 1 of 3 pods are ready in all. See kubectl describe deployment",
    ),
    "key refused in a rollout while a node is drained of the old pods": (
        Observed(
            deployment=deployment_of(replicas=2, ready=1, updated=1, conditions=[PROGRESSING]),
            pods=(pod_of("old", ready=True, revision="h0", created=LATER), pod_of("a")),
        ),
        merge([report_of("old", revision="h0"), report_of("a", credentials="Rejected")], expected=2),
        "Stalled",
        ("Stalled", "KeyRejected"),
        "The API refuses the key",
    ),
    "paused with a generation that is held up": (
        Observed(deployment=paused(updated=0)),
        fleet_of(),
        "Progressing",
        ("Reconciling", "Paused"),
        "Resume it: kubectl rollout resume deployment --namespace demo bot",
    ),
    "paused, which holds nothing up": (
        Observed(deployment=paused(ready=2)),
        fleet_of(),
        "Progressing",
        ("Reconciling", "RollingOut"),
        "2 of 3",
    ),
    "too long while old pods are ready": (
        Observed(deployment=deployment_of(replicas=4, ready=3, updated=1, conditions=[DEADLINE]), pods=(OLD, pod_of("a"))),
        fleet_of(),
        "Stalled",
        ("Stalled", "ProgressDeadlineExceeded"),
        "Only 0 of 3 pods of this generation became ready in time. See kubectl describe deployment --namespace demo bot.",
    ),
}


@pytest.mark.parametrize(("observed", "fleet", "state", "condition", "message"), SITUATIONS.values(), ids=SITUATIONS.keys())
def test_situation_is_named_with_what_to_do(
    observed: Observed, fleet: FleetHealth, state: str, condition: tuple[str, str], message: str
) -> None:
    status = derived(observed, fleet)

    kind, reason = condition
    assert status["state"] == state
    assert conditions_of(status)["Ready"] == ("False", reason)
    assert conditions_of(status)[kind] == ("True", reason)
    assert message in message_of(status, kind)
    assert message in status["summary"]


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
    pod = pod_of("a", created=created, **waiting_for("ContainerCreating"))

    waiting = derived(Observed(deployment=deployment_of(ready=0), pods=(pod,)), resource=resource_of(spec))
    late = derived(Observed(deployment=deployment_of(ready=0, conditions=[DEADLINE]), pods=(pod,)), resource=resource_of(spec))

    assert conditions_of(waiting)["Reconciling"][1] == ("WaitingForConfigMap" if question else "RollingOut")
    assert conditions_of(late)["Stalled"][1] == "ProgressDeadlineExceeded"
    if question:
        assert question in waiting["summary"]
        assert question in late["summary"]


LOST = Observed(deployment=deployment_of(ready=2, conditions=[COMPLETE]))


def _once_ready() -> ChatbotDeployment:
    return resource_of(status=derived(Observed(deployment=deployment_of(conditions=[COMPLETE]))))


def test_pod_that_is_lost_after_the_rollout_degrades() -> None:
    lost = derived(LOST, resource=_once_ready())
    still = derived(LOST, resource=resource_of(status=lost))

    for status in (lost, still):
        assert status["state"] == "Degraded"
        assert conditions_of(status)["Reconciling"] == ("True", "PodsUnavailable")
        assert status["summary"].startswith("Only 2 of 3 pods are ready. See kubectl get pods --namespace demo")


def test_crash_after_the_rollout_degrades() -> None:
    observed = replace(LOST, pods=(pod_of("a", ready=True), pod_of("b", ready=True), pod_of("c", **CRASH)))

    status = derived(observed, resource=_once_ready())

    assert status["state"] == "Degraded"
    assert conditions_of(status)["Reconciling"] == ("True", "CrashLoop")


def test_growing_is_a_rollout_and_no_loss() -> None:
    grown = resource_of({"replicas": 5}, metadata={"generation": 2}, status=_once_ready().status)
    observed = Observed(deployment=deployment_of(replicas=5, updated=5, ready=3, conditions=[COMPLETE]))

    status = derived(observed, resource=grown)
    later = derived(observed, resource=replace(grown, status=status))

    for each in (status, later):
        assert each["state"] == "Progressing"
        assert conditions_of(each)["Reconciling"] == ("True", "RollingOut")
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
    observed = Observed(deployment=deployment_of(ready=0), pods=(pod_of("a"),))

    status = derived(observed, fleet_of("a", credentials="Missing"), resource=_missing_since(timedelta(seconds=seconds)))

    assert kind in conditions_of(status)
    assert f"Create it: {CREATE_SECRET} (if the Secret exists without that key, append {PATCH_SECRET})" in message_of(status, kind)
    assert status["credentials"]["state"] == "Missing"


def test_secret_that_goes_missing_after_its_key_was_refused_for_long_is_waited_for_all_the_same() -> None:
    observed = Observed(deployment=deployment_of(ready=0), pods=(pod_of("a"),))
    missing = fleet_of("a", credentials="Missing")
    refused = derived(observed, fleet_of("a", credentials="Rejected"), now=NOW - timedelta(hours=1))

    first = derived(observed, missing, resource=resource_of(status=refused))
    in_time = derived(observed, missing, resource=resource_of(status=first), now=NOW + timedelta(seconds=179))
    late = derived(observed, missing, resource=resource_of(status=in_time), now=NOW + timedelta(seconds=180))
    later = derived(observed, missing, resource=resource_of(status=late), now=NOW + timedelta(seconds=181))

    told = [conditions_of(status)["Ready"][1] for status in (refused, first, in_time, late, later)]
    assert told == ["KeyRejected", "WaitingForSecret", "WaitingForSecret", "SecretMissing", "SecretMissing"]


def test_missing_secret_heals_without_a_trace() -> None:
    waiting = derived(Observed(deployment=deployment_of(ready=0), pods=(pod_of("a"),)), fleet_of("a", credentials="Missing"))

    healed = derived(Observed(deployment=deployment_of()), fleet_of("a", "b", "c"), resource=resource_of(status=waiting))

    assert set(conditions_of(healed)) == ALWAYS
    assert {conditions_of(healed)[kind][0] for kind in ALWAYS - {"SLOMet"}} == {"True"}
