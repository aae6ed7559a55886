"""The status of a resource as a pure function of what was observed: conditions, counts and one sentence. Reads and writes nothing.

`rollout.decide` says where the resource stands; here that becomes a status that kstatus, `kubectl wait` and people read alike:
Ready is always there, Reconciling and Stalled only while true, never both.
"""

from collections import Counter
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Literal

from chatbot_operator import names
from chatbot_operator.fleet import FleetHealth, PodHealth, worst_credentials
from chatbot_operator.observed import Observed, Problem
from chatbot_operator.resource import (
    BreakerState,
    ChatbotDeployment,
    ChatbotStatus,
    Condition,
    CredentialsState,
    CredentialsStatus,
    Manifest,
    State,
    UpstreamStatus,
)
from chatbot_operator.rollout import Phase, Reason, Verdict, View, create_secret_hint, decide, replace_secret_hint
from chatbot_operator.settings import Settings

__all__ = ["ConditionType", "CredentialsReason", "Observed", "Problem", "derive_invalid_status", "derive_status", "substantially_differs"]

_MAX_MESSAGE: Final = 4096
_MAX_SUMMARY: Final = 1024
_DEFAULT_HTTP_PORT: Final = 80

_ConditionStatus = Literal["True", "False", "Unknown"]


class ConditionType(StrEnum):
    """The aspects of the state, in the order in which they are shown."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    AVAILABLE = "Available"
    CREDENTIALS_VALID = "CredentialsValid"


_OUR_CONDITIONS: Final = frozenset(ConditionType)


class AvailableReason(StrEnum):
    """Reasons of Available."""

    PODS_SERVING = "PodsServing"
    NO_READY_PODS = "NoReadyPods"
    SCALED_TO_ZERO = "ScaledToZero"


class CredentialsReason(StrEnum):
    """Reasons of CredentialsValid."""

    ACCEPTED = "Accepted"
    UNVERIFIED = "Unverified"
    SECRET_MISSING = "SecretMissing"  # noqa: S105  # a reason, not a secret
    KEY_REJECTED = "KeyRejected"
    NO_REPORT = "NoReport"
    SCALED_TO_ZERO = "ScaledToZero"


def derive_status(resource: ChatbotDeployment, observed: Observed, fleet: FleetHealth, *, settings: Settings, now: datetime) -> Manifest:
    """Return the whole status; a condition whose status did not change keeps its lastTransitionTime."""
    view = View(
        resource=resource,
        observed=observed,
        fleet=fleet,
        settings=settings,
        now=now,
        secret_missing_since=_secret_missing_since(resource.status),
        was_complete=_was_complete(resource),
    )
    verdict = _tempered(decide(view), fleet)
    judges = _judges(view)
    conditions = (*_rollout_conditions(verdict), _available(view), _credentials_valid(view, judges))
    ready = view.count("readyReplicas")
    status = ChatbotStatus(
        observed_generation=resource.generation,
        replicas=view.count("replicas"),
        ready_replicas=ready,
        updated_replicas=view.count("updatedReplicas"),
        selector=names.selector(resource.name),
        ready=f"{ready}/{view.wanted}",
        state=verdict.state,
        summary=_clip(verdict.message, _MAX_SUMMARY),
        image=_image(view),
        endpoint=_endpoint(resource),
        operator_version=settings.operator_version,
        upstream=_upstream(fleet),
        credentials=_credentials(fleet, judges),
        conditions=_stamp(conditions, previous=resource.status, generation=resource.generation, now=now),
    )
    return status.model_dump(by_alias=True, exclude_none=True, mode="json")


def derive_invalid_status(manifest: Manifest, problem: str, *, settings: Settings, now: datetime) -> Manifest:
    """Return the status of a resource that the models cannot read: what was known of its pods, and why it is Stalled."""
    generation = manifest["metadata"].get("generation", 0)
    previous = manifest.get("status") or {}
    message = f"{problem}. Correct the spec; the running pods are left as they are."
    verdict = Verdict(phase=Phase.STALLED, state=State.STALLED, reason=Reason.INVALID_SPEC, message=message)
    changed = ChatbotStatus(
        observed_generation=generation,
        state=verdict.state,
        summary=_clip(message, _MAX_SUMMARY),
        operator_version=settings.operator_version,
        conditions=_stamp(_rollout_conditions(verdict), previous=previous, generation=generation, now=now),
    )
    return previous | changed.model_dump(by_alias=True, exclude_none=True, mode="json")


def substantially_differs(old: Manifest, new: Manifest) -> bool:
    """Tell whether `new` is worth a write: anything but timestamps, the order of conditions and those of others changed."""
    return _substance(old) != _substance(new)


def _tempered(verdict: Verdict, fleet: FleetHealth) -> Verdict:
    """Return the verdict, as Degraded when all pods are ready but an outage or a refused key keeps them from serving well."""
    if verdict.state is not State.READY:
        return verdict
    if (fleet.worst_breaker() or BreakerState.CLOSED) is not BreakerState.CLOSED:
        seen = f" ({fleet.last_error_type()})" if fleet.last_error_type() else ""
        return _degraded(verdict, f"The model's API is failing{seen}: requests fail fast until it recovers.")
    if worst_credentials(fleet.pods.values()) in (CredentialsState.REJECTED, CredentialsState.MISSING):
        return _degraded(verdict, "They serve on with an earlier key: see the condition CredentialsValid.")
    return verdict


def _degraded(verdict: Verdict, message: str) -> Verdict:
    return Verdict(phase=verdict.phase, state=State.DEGRADED, reason=verdict.reason, message=f"{verdict.message} {message}")


def _judges(view: View) -> tuple[PodHealth, ...]:
    """Return the pods that the key is judged by: this generation's, all until there are some; undecided ones only if all are."""
    health = view.current_health or tuple(view.fleet.pods.values())
    return tuple(pod for pod in health if not pod.undecided) or health


def _rollout_conditions(verdict: Verdict) -> tuple[Manifest, ...]:
    if verdict.phase is Phase.READY:
        return (_condition(ConditionType.READY, "True", verdict.reason, verdict.message),)
    return (
        _condition(ConditionType.READY, "False", verdict.reason, verdict.message),
        _condition(ConditionType(verdict.phase), "True", verdict.reason, verdict.message),
    )


def _available(view: View) -> Manifest:
    ready = view.count("readyReplicas")
    if ready:
        return _condition(ConditionType.AVAILABLE, "True", AvailableReason.PODS_SERVING, "At least one pod serves.")
    if view.wanted == 0:
        return _condition(ConditionType.AVAILABLE, "False", AvailableReason.SCALED_TO_ZERO, "Nothing serves at replicas: 0. Scale up.")
    return _condition(ConditionType.AVAILABLE, "False", AvailableReason.NO_READY_PODS, "No pod serves: see the condition Ready.")


def _credentials_valid(view: View, judges: tuple[PodHealth, ...]) -> Manifest:
    secret = view.resource.spec.credentials.secret_ref
    what = f"key {secret.key} of Secret {secret.name}"
    match worst_credentials(judges):
        case CredentialsState.ACCEPTED:
            return _credentials_condition("True", CredentialsReason.ACCEPTED, f"The API accepts {what}.")
        case CredentialsState.UNVERIFIED:
            message = f"The API could not be asked about {what} yet; the pods go on asking. See the condition Ready if it lasts."
            return _credentials_condition("Unknown", CredentialsReason.UNVERIFIED, message)
        case CredentialsState.MISSING:
            message = f"There is no {what}. {create_secret_hint(view.resource)}"
            return _credentials_condition("False", CredentialsReason.SECRET_MISSING, message)
        case CredentialsState.REJECTED:
            message = f"The API refuses {what}. {replace_secret_hint(view.resource)}"
            return _credentials_condition("False", CredentialsReason.KEY_REJECTED, message)
        case None if view.wanted == 0:
            return _credentials_condition("Unknown", CredentialsReason.SCALED_TO_ZERO, "No pod checks the key at replicas: 0. Scale up.")
        case None:
            return _credentials_condition(
                "Unknown", CredentialsReason.NO_REPORT, "No pod has reported yet: see the condition Ready if it lasts."
            )


def _credentials_condition(status: _ConditionStatus, reason: str, message: str) -> Manifest:
    return _condition(ConditionType.CREDENTIALS_VALID, status, reason, message)


def _condition(kind: ConditionType, status: _ConditionStatus, reason: str, message: str) -> Manifest:
    return {"type": kind, "status": status, "reason": reason, "message": _clip(message, _MAX_MESSAGE)}


def _stamp(conditions: tuple[Manifest, ...], *, previous: Manifest, generation: int, now: datetime) -> tuple[Condition, ...]:
    """Return the conditions with generation and time; the time moves only with the condition's status."""
    before = {condition["type"]: condition for condition in previous.get("conditions") or ()}
    return tuple(
        Condition(**condition, observed_generation=generation, last_transition_time=_transition_time(condition, before, now))
        for condition in conditions
    )


def _transition_time(condition: Manifest, before: dict[str, Manifest], now: datetime) -> str:
    old: Manifest = before.get(condition["type"]) or {}
    if old.get("status") == condition["status"] and old.get("lastTransitionTime"):
        return str(old["lastTransitionTime"])
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _secret_missing_since(status: Manifest) -> datetime | None:
    """Return since when the pods miss their Secret, which only the status remembers across restarts of the operator."""
    for condition in status.get("conditions") or ():
        if condition["type"] == ConditionType.CREDENTIALS_VALID and condition["reason"] == CredentialsReason.SECRET_MISSING:
            return datetime.fromisoformat(condition["lastTransitionTime"])
    return None


def _was_complete(resource: ChatbotDeployment) -> bool:
    """Tell whether this generation was rolled out once, which only the status remembers."""
    conditions = resource.status.get("conditions") or ()
    ready: Manifest = next((condition for condition in conditions if condition["type"] == ConditionType.READY), {})
    if ready.get("observedGeneration") != resource.generation:
        return False
    return ready["status"] == "True" or ready["reason"] == Reason.PODS_UNAVAILABLE or resource.status.get("state") == State.DEGRADED


def _upstream(fleet: FleetHealth) -> UpstreamStatus | None:
    if not fleet.pods:
        return None
    counts = Counter(fleet.breakers())
    return UpstreamStatus(
        breaker=fleet.worst_breaker(),
        breaker_closed=counts[BreakerState.CLOSED],
        breaker_open=counts[BreakerState.OPEN],
        breaker_half_open=counts[BreakerState.HALF_OPEN],
        last_error_type=fleet.last_error_type(),
    )


def _credentials(fleet: FleetHealth, judges: tuple[PodHealth, ...]) -> CredentialsStatus:
    accepted = sum(pod.credentials is CredentialsState.ACCEPTED for pod in fleet.pods.values())
    return CredentialsStatus(state=worst_credentials(judges) or CredentialsState.UNVERIFIED, pods_current=accepted)


def _image(view: View) -> str:
    containers = ((view.observed.deployment or {}).get("spec") or {}).get("template", {}).get("spec", {}).get("containers", ())
    live = next((str(container["image"]) for container in containers if container["name"] == names.CONTAINER), None)
    return live or view.resource.spec.image or view.settings.service_image


def _endpoint(resource: ChatbotDeployment) -> str:
    port = resource.spec.service.port
    suffix = "" if port == _DEFAULT_HTTP_PORT else f":{port}"
    return f"http://{names.service(resource.name)}.{resource.namespace}.svc{suffix}"


def _substance(status: Manifest) -> Manifest:
    conditions = {
        condition["type"]: {key: value for key, value in condition.items() if key != "lastTransitionTime"}
        for condition in status.get("conditions") or ()
        if condition["type"] in _OUR_CONDITIONS
    }
    return {**status, "conditions": conditions}


def _clip(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
