"""The conditions beside Ready, Reconciling and Stalled: each a pure judgement of the view, and none changes whether the resource is Ready.

A message says what is the case and, unless all is well, ends with what to do. Figures that move with traffic are left out of it.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from chatbot_operator import figures
from chatbot_operator.fleet import worst_credentials, worst_model
from chatbot_operator.hints import create_secret_hint, replace_secret_hint
from chatbot_operator.reasons import REASONS, ConditionReason, ConditionStatus, ConditionType
from chatbot_operator.resource import BreakerState, CredentialsState, Manifest, ModelState, duration_milliseconds
from chatbot_operator.traffic import Traffic
from chatbot_operator.view import View

MAX_MESSAGE: Final = 4096

Judgement = tuple[ConditionReason, str]
"""Reason and message of a condition; none at all where it is there only while it is true."""


def build_condition(kind: ConditionType, status: ConditionStatus, reason: str, message: str) -> Manifest:
    """Return a condition without generation and time."""
    return {"type": kind, "status": status, "reason": reason, "message": clip(message, MAX_MESSAGE)}


def by_type(status: Manifest) -> dict[str, Manifest]:
    """Return the conditions of a status."""
    return {condition["type"]: condition for condition in status.get("conditions") or ()}


def clip(text: str, length: int) -> str:
    """Return `text`, cut to `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def derive_conditions(view: View) -> tuple[Manifest, ...]:
    """Return the conditions that are always there, and those that are true."""
    judged = ((kind, judge(view)) for kind, judge in _JUDGES.items())
    return tuple(build_condition(kind, REASONS[kind][found[0]], *found) for kind, found in judged if found is not None)


def _available(view: View) -> Judgement:
    if view.count("readyReplicas"):
        return ConditionReason.PODS_SERVING, "At least one pod serves."
    if view.wanted == 0:
        return ConditionReason.SCALED_TO_ZERO, "Nothing serves at replicas: 0. Scale up."
    return ConditionReason.NO_READY_PODS, "No pod serves: see the condition Ready."


def _credentials_valid(view: View) -> Judgement:
    secret = view.resource.spec.credentials.secret_ref
    what = f"key {secret.key} of Secret {secret.name}"
    match worst_credentials(view.judges):
        case CredentialsState.ACCEPTED:
            return ConditionReason.ACCEPTED, f"The API accepts {what}."
        case CredentialsState.UNVERIFIED:
            message = f"The API could not be asked about {what} yet; the pods go on asking. See the condition Ready if it lasts."
            return ConditionReason.UNVERIFIED, message
        case CredentialsState.MISSING:
            message = f"There is no {what}. {create_secret_hint(view.resource)}"
            return ConditionReason.SECRET_MISSING, message
        case CredentialsState.REJECTED:
            message = f"The API refuses {what}. {replace_secret_hint(view.resource)}"
            return ConditionReason.KEY_REJECTED, message
        case None:
            return _unheard(view, "checks the key")


def _model_available(view: View) -> Judgement:
    name = view.resource.spec.model.name
    match worst_model(view.judges):
        case ModelState.AVAILABLE if any(pod.deprecated for pod in view.judges):
            message = f"The model {name} is deprecated{_until_retirement(view)}. Set spec.model.name to its successor before it is retired."
            return ConditionReason.MODEL_DEPRECATED, message
        case ModelState.AVAILABLE:
            return ConditionReason.MODEL_FOUND, f"The API offers the model {name}."
        case ModelState.UNVERIFIED:
            message = f"The API has not said yet whether it offers the model {name}. See the condition CredentialsValid if it lasts."
            return ConditionReason.UNVERIFIED, message
        case ModelState.NOT_FOUND:
            message = f"The model {name} does not exist or is not open to this key. Set spec.model.name to one that is available."
            return ConditionReason.MODEL_NOT_FOUND, message
        case ModelState.RETIRED:
            message = f"The model {name} is retired. Set spec.model.name to its successor."
            return ConditionReason.MODEL_RETIRED, message
        case None:
            return _unheard(view, "asks for the model")


def _until_retirement(view: View) -> str:
    days = min((pod.days_to_retirement for pod in view.judges if pod.days_to_retirement is not None), default=None)
    match days:
        case None:
            return ""
        case 0:
            return " and retired within a day"
        case 1:
            return " and retired in 1 day"
        case _:
            return f" and retired in {days} days"


def _upstream_available(view: View) -> Judgement:
    breakers = {pod.breaker for pod in view.judges}
    if not breakers:
        return _unheard(view, "calls the API")
    if breakers != {BreakerState.CLOSED}:
        return _breakers_open(view, some=BreakerState.CLOSED in breakers)
    if not {CredentialsState.ACCEPTED, CredentialsState.REJECTED} & {pod.credentials for pod in view.judges}:
        message = "The API has not answered any pod yet. See the condition CredentialsValid if it lasts."
        return ConditionReason.UNVERIFIED, message
    return ConditionReason.BREAKERS_CLOSED, "The API answers every pod."


def _breakers_open(view: View, *, some: bool) -> Judgement:
    seen = view.fleet.last_error_type()
    who, reason = ("some pods", ConditionReason.SOME_BREAKERS_OPEN) if some else ("every pod", ConditionReason.ALL_BREAKERS_OPEN)
    message = (
        f"The API at {view.resource.spec.upstream.base_url} fails{f' ({seen})' if seen else ''} for {who}: requests fail fast, and it is"
        " tried again by itself. If it lasts, see the provider's status page and whether the pods' egress is open."
    )
    return reason, message


def _slo_met(view: View) -> Judgement:
    promised = view.resource.spec.slo
    if not view.fleet.pods:
        return _unheard(view, "measures anything")
    seen = figures.measured(view)
    if seen is None:
        message = "Pods of different generations are not measured together: wait for the end of the rollout, see the condition Ready."
        return ConditionReason.ROLLING_OUT, message
    if seen.requests < promised.min_samples:
        message = (
            f"There were fewer than {promised.min_samples} requests within {promised.window}, too few to judge."
            " Wait for traffic or lower spec.slo.minSamples."
        )
        return ConditionReason.TOO_LITTLE_TRAFFIC, message
    if missed := _missed(view, seen):
        message = (
            f"Within {promised.window} {' and '.join(missed)}: see status.slo and the condition UpstreamAvailable."
            " Add replicas, raise spec.resources, or correct spec.slo."
        )
        return ConditionReason.OBJECTIVES_MISSED, message
    return ConditionReason.OBJECTIVES_MET, f"What spec.slo promises was kept within {promised.window}."


def _missed(view: View, seen: Traffic) -> tuple[str, ...]:
    """Return the objectives that were not met; of the latency there must be enough samples, too, since streams do not count for it."""
    promised = view.resource.spec.slo
    p95 = figures.p95_milliseconds(seen.latency) if seen.latency.samples >= promised.min_samples else None
    checks = {
        f"more than {promised.error_rate_percent} % of the requests failed": seen.error_rate_basis_points
        > _basis_points(promised.error_rate_percent),
        f"fewer than {promised.availability_percent} % were answered": seen.availability_basis_points
        < _basis_points(promised.availability_percent),
        f"more than 5 % took longer than {promised.p95}": p95 is not None and p95 > duration_milliseconds(promised.p95),
    }
    return tuple(text for text, is_missed in checks.items() if is_missed)


def _basis_points(percentage: str) -> int:
    return int(Decimal(percentage) * 100)


def _scale_overridden(view: View) -> Judgement | None:
    scaling = view.resource.spec.autoscaling
    if not scaling.enabled or view.resource.spec.replicas == 0:
        return None
    message = (
        f"spec.autoscaling decides the number of pods ({scaling.min_replicas} to {scaling.max_replicas}): spec.replicas and kubectl scale"
        " have no effect, but for 0, which stops the service. Set spec.autoscaling.enabled: false to scale otherwise."
    )
    return ConditionReason.AUTOSCALING, message


def _unheard(view: View, what_a_pod_does: str) -> Judgement:
    if view.wanted == 0:
        return ConditionReason.SCALED_TO_ZERO, f"No pod {what_a_pod_does} at replicas: 0. Scale up."
    return ConditionReason.NO_REPORT, "No pod has reported yet: see the condition Ready if it lasts."


_JUDGES: Final[Mapping[ConditionType, Callable[[View], Judgement | None]]] = {
    ConditionType.AVAILABLE: _available,
    ConditionType.CREDENTIALS_VALID: _credentials_valid,
    ConditionType.MODEL_AVAILABLE: _model_available,
    ConditionType.UPSTREAM_AVAILABLE: _upstream_available,
    ConditionType.SLO_MET: _slo_met,
    ConditionType.SCALE_OVERRIDDEN: _scale_overridden,
}
