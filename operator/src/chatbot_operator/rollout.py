"""Where the resource stands, decided by a chain of small pure policies: the first that has something to say wins.

The order is the order of what a person must know first: what the API server refused, then what is stopped or done, then what
nobody but a person can mend, then what keeps the rollout, and last that it simply goes on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from chatbot_operator import names, pods
from chatbot_operator.fleet import worst_credentials
from chatbot_operator.hints import create_secret_hint, replace_secret_hint
from chatbot_operator.reasons import Reason, VerdictReason
from chatbot_operator.resource import ChatbotDeployment, CredentialsState, ModelState, State
from chatbot_operator.view import View

HELD_BACK_SECONDS: Final = 30
"""A pod that is set up for so long may wait for a volume: long for a mount, short enough to be of help."""


class Phase(StrEnum):
    """What kstatus makes of it: current, in progress or failed."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"


@dataclass(frozen=True)
class Verdict:
    """The outcome of the chain."""

    phase: Phase
    state: State
    reason: VerdictReason
    message: str


Policy = Callable[[View], Verdict | None]


def decide(view: View) -> Verdict:
    """Return where the resource stands."""
    return next((verdict for policy in _POLICIES if (verdict := policy(view)) is not None), _rolling_out(view))


def _children_refused(view: View) -> Verdict | None:
    problem = view.observed.problem
    if problem is None:
        return None
    return _reconciling(view, problem.reason, problem.message) if problem.passing else _stalled(problem.reason, problem.message)


def _creating(view: View) -> Verdict | None:
    if view.observed.deployment is not None:
        return None
    return _reconciling(view, Reason.CREATING, "The Deployment is being created.")


def _stopped(view: View) -> Verdict | None:
    if view.wanted > 0 or not view.deployment_is_current:
        return None
    if left := view.count("replicas") + view.count("terminatingReplicas"):  # the latter from Kubernetes 1.35 on
        return _reconciling(view, Reason.SCALING_DOWN, f"{left} pods are finishing their work.", state=State.PROGRESSING)
    message = "Stopped by spec.replicas: 0. Scale up to serve again."
    return Verdict(phase=Phase.READY, state=State.STOPPED, reason=Reason.SCALED_TO_ZERO, message=message)


def _rolled_out(view: View) -> Verdict | None:
    counts = [view.count(name) for name in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")]
    if not view.deployment_is_current or counts != [view.wanted] * len(counts):
        return None
    return Verdict(phase=Phase.READY, state=State.READY, reason=Reason.PODS_READY, message=f"{_ready(view)} pods are ready.")


def _key_rejected(view: View) -> Verdict | None:
    if worst_credentials(view.blocked) is not CredentialsState.REJECTED:
        return None
    secret = view.resource.spec.credentials.secret_ref
    return _stalled(
        Reason.KEY_REJECTED, f"The API refuses the key {secret.key} of Secret {secret.name}. {replace_secret_hint(view.resource)}"
    )


def _model_rejected(view: View) -> Verdict | None:
    refused = {pod.model for pod in view.blocked} & {ModelState.NOT_FOUND, ModelState.RETIRED}
    if not refused:
        return None
    why = "is retired" if ModelState.RETIRED in refused else "does not exist or is not open to this key"
    return _stalled(
        Reason.MODEL_REJECTED, f"The model {view.resource.spec.model.name} {why}. Set spec.model.name to one that is available."
    )


def _secret_missing(view: View) -> Verdict | None:
    if worst_credentials(view.blocked) is not CredentialsState.MISSING:
        return None
    secret = view.resource.spec.credentials.secret_ref
    message = f"The pods wait for key {secret.key} of Secret {secret.name}. {create_secret_hint(view.resource)}"
    since = view.secret_missing_since or view.now
    if view.now - since < timedelta(seconds=view.settings.secret_grace_seconds):
        return _reconciling(view, Reason.WAITING_FOR_SECRET, message)
    return _stalled(Reason.SECRET_MISSING, message)


def _hopeless_pod(view: View) -> Verdict | None:
    failure = view.pod_failure
    return _stalled(failure.reason, failure.message) if failure and failure.hopeless else None


def _deadline_exceeded(view: View) -> Verdict | None:
    condition = view.deployment_condition("Progressing")
    if not view.deployment_is_current or condition.get("reason") != Reason.PROGRESS_DEADLINE_EXCEEDED:
        return None
    if view.pod_failure:
        return _stalled(view.pod_failure.reason, view.pod_failure.message)
    detail = _refusal(view) or _config_map_question(view) or _too_few(view)
    hint = f"See kubectl describe deployment --namespace {view.resource.namespace} {view.resource.name}."
    return _stalled(Reason.PROGRESS_DEADLINE_EXCEEDED, f"{detail} {hint}")


def _pods_refused(view: View) -> Verdict | None:
    refusal = _refusal(view)
    if not refusal or not view.deployment_is_current:
        return None
    return _reconciling(
        view, Reason.PODS_REFUSED, f"{refusal} Raise the quota or correct the policy of namespace {view.resource.namespace}."
    )


def _failing_pod(view: View) -> Verdict | None:
    failure = view.pod_failure
    return _reconciling(view, failure.reason, failure.message) if failure else None


def _waiting_for_config_map(view: View) -> Verdict | None:
    question = _config_map_question(view)
    return _reconciling(view, Reason.WAITING_FOR_CONFIG_MAP, question) if question else None


def _paused(view: View) -> Verdict | None:
    """Name the pause, which no field of ours asks for and no deadline ends, as long as it holds something up."""
    if not view.rollout_is_paused or view.count("updatedReplicas") >= view.wanted:
        return None
    hint = f"kubectl rollout resume deployment --namespace {view.resource.namespace} {names.deployment(view.resource.name)}"
    return _reconciling(view, Reason.PAUSED, f"Somebody paused the Deployment, so this generation is not rolled out. Resume it: {hint}")


def _pods_lost(view: View) -> Verdict | None:
    if not view.lost_pods:
        return None
    hint = f"See kubectl get pods --namespace {view.resource.namespace} --selector app.kubernetes.io/instance={view.resource.name}."
    return _reconciling(view, Reason.PODS_UNAVAILABLE, f"Only {_ready(view)} pods are ready. {hint}")


def _rolling_out(view: View) -> Verdict:
    updated = view.count("updatedReplicas")
    if not view.deployment_is_current:
        rest = "; this generation is about to be rolled out."
    elif updated == view.count("replicas") == view.count("readyReplicas") == view.wanted:
        rest = "; they must stay so for a few seconds."
    else:
        rest = f", {updated} are of this generation."
    return _reconciling(view, Reason.ROLLING_OUT, f"{_ready(view)} pods are ready{rest}")


_POLICIES: tuple[Policy, ...] = (
    _children_refused,
    _creating,
    _stopped,
    _rolled_out,
    _key_rejected,
    _model_rejected,
    _secret_missing,
    _hopeless_pod,
    _deadline_exceeded,
    _failing_pod,
    _pods_refused,
    _waiting_for_config_map,
    _paused,
    _pods_lost,
)


def _stalled(reason: VerdictReason, message: str) -> Verdict:
    return Verdict(phase=Phase.STALLED, state=State.STALLED, reason=reason, message=message)


def _reconciling(view: View, reason: VerdictReason, message: str, *, state: State | None = None) -> Verdict:
    return Verdict(phase=Phase.RECONCILING, state=state or _state_on_the_way(view), reason=reason, message=message)


def _state_on_the_way(view: View) -> State:
    """Return Pending while nothing serves, Degraded when what once was complete serves with too few, else Progressing."""
    if view.count("readyReplicas") == 0:
        return State.PENDING
    return State.DEGRADED if view.lost_pods else State.PROGRESSING


def _ready(view: View) -> str:
    return f"{view.count('readyReplicas')} of {view.wanted}"


def _too_few(view: View) -> str:
    """Return how many pods of this generation are ready; as long as they were not looked at, how many there are in all."""
    if not view.current_pods:
        return f"The pods of this generation did not become ready in time; {_ready(view)} pods are ready in all."
    return f"Only {sum(map(pods.is_ready, view.current_pods))} of {view.wanted} pods of this generation became ready in time."


def _refusal(view: View) -> str:
    condition = view.deployment_condition("ReplicaFailure")
    return f"Pods cannot be created: {condition.get('message', '')}." if condition.get("status") == "True" else ""


def _config_map_question(view: View) -> str:
    """Return what to look at when pods are not set up and the spec names a ConfigMap, which only kubelet can tell to be missing."""
    since = view.now - timedelta(seconds=HELD_BACK_SECONDS)
    held_back = next((pod for pod in view.current_pods if pods.is_held_back(pod, created_before=since)), None)
    wanted = [f"ConfigMap {name} with key {key}" for name, key in _config_maps(view.resource)]
    if held_back is None or not wanted:
        return ""
    verb = "Does" if len(wanted) == 1 else "Do"
    there = f"exist in namespace {view.resource.namespace}"
    return f"Pods wait to be set up. {verb} {' and '.join(wanted)} {there}? See {pods.describe_command(held_back)}."


def _config_maps(resource: ChatbotDeployment) -> tuple[tuple[str, str], ...]:
    """Return name and key of the ConfigMaps that the spec names."""
    prompt, bundle = resource.spec.system_prompt_from, resource.spec.upstream.ca_bundle_ref
    found = (prompt.config_map_key_ref if prompt else None, bundle)
    return tuple((reference.name, reference.key) for reference in found if reference)
