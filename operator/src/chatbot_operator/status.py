"""The status of a resource as a pure function of what was observed: conditions, counts and one sentence. Reads and writes nothing.

`rollout.decide` says where the resource stands; here that becomes a status that kstatus, `kubectl wait` and people read alike:
Ready is always there, Reconciling and Stalled only while true, never both.
"""

from datetime import UTC, datetime
from typing import Final

from chatbot_operator import figures, names
from chatbot_operator.conditions import build_condition, by_type, clip, derive_conditions
from chatbot_operator.fleet import FleetHealth, worst_credentials, worst_model
from chatbot_operator.observed import Observed
from chatbot_operator.reasons import ConditionReason, ConditionType, Reason
from chatbot_operator.resource import (
    BreakerState,
    ChatbotDeployment,
    ChatbotStatus,
    CredentialsState,
    Manifest,
    ModelState,
    State,
)
from chatbot_operator.rollout import Phase, Verdict, decide
from chatbot_operator.settings import Settings
from chatbot_operator.view import View

_MAX_SUMMARY: Final = 1024
_DEFAULT_HTTP_PORT: Final = 80
_OUR_CONDITIONS: Final = frozenset(ConditionType)
_OF_THE_ROLLOUT: Final = frozenset({ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED})
_OF_THE_REPORTS: Final = frozenset(
    {ConditionType.CREDENTIALS_VALID, ConditionType.MODEL_AVAILABLE, ConditionType.UPSTREAM_AVAILABLE, ConditionType.SLO_MET}
)
_FROM_REPORTS: Final = ("upstream", "credentials", "slo", "usage")


def derive_status(
    resource: ChatbotDeployment,
    observed: Observed,
    fleet: FleetHealth,
    *,
    settings: Settings,
    now: datetime,
    replicas: int | None = None,
) -> Manifest:
    """Return the whole status; a condition whose status did not change keeps its lastTransitionTime.

    `replicas` is how many pods there should be when that is decided elsewhere than in the spec.
    """
    view = View(
        resource=resource,
        observed=observed,
        fleet=fleet,
        settings=settings,
        now=now,
        wanted=resource.spec.replicas if replicas is None else replicas,
        secret_missing_since=_secret_missing_since(resource.status),
        was_complete=_was_complete(resource),
    )
    verdict = _tempered(decide(view), view)
    conditions = (*_rollout_conditions(verdict), *derive_conditions(view))
    ready = view.count("readyReplicas")
    return _build(
        observed_generation=resource.generation,
        replicas=view.count("replicas"),
        ready_replicas=ready,
        updated_replicas=view.count("updatedReplicas"),
        selector=names.selector(resource.name),
        ready=f"{ready}/{view.wanted}",
        state=verdict.state,
        summary=clip(verdict.message, _MAX_SUMMARY),
        image=_image(view),
        endpoint=_endpoint(resource),
        operator_version=settings.operator_version,
        upstream=figures.upstream(fleet),
        credentials=figures.credentials(view),
        slo=figures.slo(view),
        usage=figures.usage(fleet),
        conditions=_stamp(conditions, previous=resource.status, generation=resource.generation, now=now),
    )


def derive_invalid_status(manifest: Manifest, problem: str, *, settings: Settings, now: datetime) -> Manifest:
    """Return the status of a resource that the models cannot read: what was known of its pods, and why it is Stalled."""
    generation = manifest["metadata"].get("generation", 0)
    previous = manifest.get("status") or {}
    message = f"{problem}. Correct the spec; the running pods are left as they are."
    verdict = Verdict(phase=Phase.STALLED, state=State.STALLED, reason=Reason.INVALID_SPEC, message=message)
    status = previous | _build(
        observed_generation=generation,
        state=verdict.state,
        summary=clip(message, _MAX_SUMMARY),
        operator_version=settings.operator_version,
        conditions=_stamp(_rollout_conditions(verdict), previous=previous, generation=generation, now=now),
    )
    return status | {"conditions": [*status["conditions"], *_conditions_of_the_pods(previous)]}


def keep_reported(status: Manifest, previous: Manifest) -> Manifest:
    """Return `status` with what `previous` says of the pods' reports, for as long as those were not heard."""
    kept = {condition["type"]: condition for condition in previous.get("conditions") or () if condition["type"] in _OF_THE_REPORTS}
    conditions = [kept.get(condition["type"], condition) for condition in status["conditions"]]
    return status | {name: previous[name] for name in _FROM_REPORTS if name in previous} | {"conditions": conditions}


def is_ready(status: Manifest) -> bool:
    """Tell whether the status says that everything is as the spec wants it."""
    return bool(by_type(status).get(ConditionType.READY, {}).get("status") == "True")


def substantially_differs(old: Manifest, new: Manifest) -> bool:
    """Tell whether `new` is worth a write: anything but timestamps, the order of conditions and those of others changed."""
    return _substance(old) != _substance(new)


def _build(**fields: object) -> Manifest:
    """Return the status of these fields as the API has it; all of it is checked in one step, which is quicker than part by part."""
    return ChatbotStatus.model_validate(fields).model_dump(by_alias=True, exclude_none=True, mode="json")


def _tempered(verdict: Verdict, view: View) -> Verdict:
    """Return the verdict, as Degraded when all pods are ready but an outage, a refused key or model keeps them from serving well."""
    if verdict.state is not State.READY:
        return verdict
    if (view.fleet.worst_breaker() or BreakerState.CLOSED) is not BreakerState.CLOSED:
        seen = f" ({view.fleet.last_error_type()})" if view.fleet.last_error_type() else ""
        return _degraded(verdict, f"The model's API is failing{seen}: requests fail fast until it recovers.")
    if worst_credentials(view.fleet.pods.values()) in (CredentialsState.REJECTED, CredentialsState.MISSING):
        return _degraded(verdict, "They serve on with an earlier key: see the condition CredentialsValid.")
    if worst_model(view.fleet.pods.values()) in (ModelState.RETIRED, ModelState.NOT_FOUND):
        return _degraded(verdict, "The API does not offer the model any more: see the condition ModelAvailable.")
    return verdict


def _degraded(verdict: Verdict, message: str) -> Verdict:
    return Verdict(phase=verdict.phase, state=State.DEGRADED, reason=verdict.reason, message=f"{verdict.message} {message}")


def _rollout_conditions(verdict: Verdict) -> tuple[Manifest, ...]:
    if verdict.phase is Phase.READY:
        return (build_condition(ConditionType.READY, "True", verdict.reason, verdict.message),)
    return (
        build_condition(ConditionType.READY, "False", verdict.reason, verdict.message),
        build_condition(ConditionType(verdict.phase), "True", verdict.reason, verdict.message),
    )


def _stamp(conditions: tuple[Manifest, ...], *, previous: Manifest, generation: int, now: datetime) -> tuple[Manifest, ...]:
    """Return the conditions with generation and time; the time moves only with the condition's status."""
    before = by_type(previous)
    moment = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return tuple(
        {**condition, "observed_generation": generation, "last_transition_time": _transition_time(condition, before, moment)}
        for condition in conditions
    )


def _conditions_of_the_pods(status: Manifest) -> list[Manifest]:
    """Return what was said beside Ready, Reconciling and Stalled; its observedGeneration tells of which generation."""
    return [condition for condition in status.get("conditions") or () if condition["type"] in _OUR_CONDITIONS - _OF_THE_ROLLOUT]


def _transition_time(condition: Manifest, before: dict[str, Manifest], moment: str) -> str:
    old: Manifest = before.get(condition["type"]) or {}
    return str(old["lastTransitionTime"]) if old.get("status") == condition["status"] and old.get("lastTransitionTime") else moment


def _secret_missing_since(status: Manifest) -> datetime | None:
    """Return since when the pods miss their Secret, which only the status remembers across restarts of the operator."""
    known = by_type(status)
    valid, waiting = known.get(ConditionType.CREDENTIALS_VALID, {}), known.get(ConditionType.RECONCILING, {})
    if valid.get("reason") != ConditionReason.SECRET_MISSING:
        return None
    # A key that was refused before it went missing leaves the time of CredentialsValid where it was; only the waiting is new then.
    told = (valid, waiting) if waiting.get("reason") == Reason.WAITING_FOR_SECRET else (valid,)
    return max(datetime.fromisoformat(condition["lastTransitionTime"]) for condition in told)


def _was_complete(resource: ChatbotDeployment) -> bool:
    """Tell whether this generation was rolled out once, which only the status remembers."""
    ready = by_type(resource.status).get(ConditionType.READY, {})
    if ready.get("observedGeneration") != resource.generation:
        return False
    return ready["status"] == "True" or ready["reason"] == Reason.PODS_UNAVAILABLE or resource.status.get("state") == State.DEGRADED


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
