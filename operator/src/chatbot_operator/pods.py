"""Why a pod is not ready, in words that say what to do: read from what scheduler and kubelet wrote into its status."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from chatbot_operator import names
from chatbot_operator.resource import Manifest

_IMAGE_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable"}
)
_HOPELESS_IMAGE_REASONS = frozenset({"InvalidImageName", "ErrImageNeverPull"})
_CONTAINER_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PostStartHookError"})
_MAX_DETAIL = 300

SETTLED_SECONDS: Final = 600
"""A container that has run for so long is over its last crash; kubelet, too, forgets the delay between its restarts then."""


class PodReason(StrEnum):
    """Why pods are not ready; reasons of Reconciling and Stalled."""

    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CONTAINER_FAILED = "ContainerFailed"
    CRASH_LOOP = "CrashLoop"


@dataclass(frozen=True)
class PodFailure:
    """What keeps a pod from being ready; `hopeless` when waiting cannot help."""

    reason: PodReason
    message: str
    hopeless: bool = False


def current_revision(pods: Iterable[Manifest], *, progress: str) -> tuple[Manifest, ...]:
    """Return the pods of the revision that is rolled out; those that are being deleted are left out.

    `progress` is the message of the Deployment's condition Progressing, which names the ReplicaSet ("bot-7d9f" is progressing): the one
    place that tells, since ReplicaSets are not read. Where it names none (a paused Deployment), the revision whose first pod is the
    youngest is meant; later pods may only replace evicted ones.
    """
    revisions: dict[str, list[Manifest]] = {}
    for pod in pods:
        if "deletionTimestamp" not in pod["metadata"]:
            revisions.setdefault(revision(pod), []).append(pod)

    def rank(found: list[Manifest]) -> tuple[bool, str, str]:
        template_hash = revision(found[0])
        return f'-{template_hash}"' in progress, min(pod["metadata"]["creationTimestamp"] for pod in found), template_hash

    current: list[Manifest] = max(revisions.values(), key=rank, default=[])
    return tuple(current)


def revision(pod: Manifest) -> str:
    """Return the hash of the pod template that the pod is of."""
    return str((pod["metadata"].get("labels") or {}).get(names.POD_TEMPLATE_HASH_LABEL, ""))


def is_ready(pod: Manifest) -> bool:
    """Tell whether the pod takes traffic."""
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in _status(pod).get("conditions") or ())


def describe_command(pod: Manifest) -> str:
    """Return how to look closer at the pod."""
    return f"kubectl describe pod --namespace {pod['metadata']['namespace']} {pod['metadata']['name']}"


def is_held_back(pod: Manifest, *, created_before: datetime) -> bool:
    """Tell whether kubelet has long been setting up the pod; a volume that it cannot mount is told by an Event only."""
    waiting = {((status.get("state") or {}).get("waiting") or {}).get("reason") for status in _unready_containers(pod)}
    return "ContainerCreating" in waiting and datetime.fromisoformat(pod["metadata"]["creationTimestamp"]) < created_before


def worst_failure(pods: Iterable[Manifest], *, now: datetime) -> PodFailure | None:
    """Return what keeps pods from being ready: a hopeless one first, otherwise the first by the pod's name."""
    found = [(failure, pod["metadata"]["name"]) for pod in pods if not is_ready(pod) and (failure := failure_of(pod, now=now))]
    first = min(found, key=lambda item: (not item[0].hopeless, item[1]), default=None)
    return first[0] if first else None


def failure_of(pod: Manifest, *, now: datetime) -> PodFailure | None:
    """Return what keeps one pod from being ready, or None when it is merely starting; an injected container may be what fails."""
    failures = (_container_failure(pod, status, now=now) for status in _unready_containers(pod))
    return _scheduling_failure(pod) or next(filter(None, failures), None)


def _scheduling_failure(pod: Manifest) -> PodFailure | None:
    for condition in _status(pod).get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False" and condition.get("reason") == "Unschedulable":
            detail = _clip(condition.get("message", "no node fits"))
            return PodFailure(PodReason.UNSCHEDULABLE, f"No node can take a pod: {detail} Add nodes or lower spec.resources.requests.")
    return None


def _container_failure(pod: Manifest, status: Manifest, *, now: datetime) -> PodFailure | None:
    waiting = (status.get("state") or {}).get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in _IMAGE_REASONS:
        return _image_failure(pod, status, reason, waiting.get("message", ""))
    if reason in _CONTAINER_REASONS:
        detail = _clip(waiting.get("message", reason))
        return PodFailure(PodReason.CONTAINER_FAILED, f"{_who(status)} cannot be started: {detail} See {describe_command(pod)}.")
    return _crash(pod, status, now=now)


def _image_failure(pod: Manifest, status: Manifest, reason: str, message: str) -> PodFailure:
    # kubelet alternates between the error and "Back-off pulling …: ErrImagePull: the error": one text for both.
    detail = _clip(message.rpartition("ErrImagePull: ")[2] or reason)
    whose, hint = "", "Correct spec.image or spec.imagePullSecrets."
    if not _is_ours(status):
        whose, hint = f" of the container {status['name']}", f"See {describe_command(pod)}."
    text = f"The image {status.get('image', '')}{whose} cannot be pulled: {detail} {hint}"
    return PodFailure(PodReason.IMAGE_PULL_FAILED, text, hopeless=reason in _HOPELESS_IMAGE_REASONS)


def _crash(pod: Manifest, status: Manifest, *, now: datetime) -> PodFailure | None:
    state = status.get("state") or {}
    ended = state.get("terminated") or (None if _is_settled(state, now) else (status.get("lastState") or {}).get("terminated"))
    if not ended:
        return None
    if ended.get("reason") == "OOMKilled":
        hint = "Raise spec.resources.limits.memory" if _is_ours(status) else f"See {describe_command(pod)}"
        return PodFailure(PodReason.CRASH_LOOP, f"{_who(status)} was killed for using too much memory. {hint}.")
    last_words = _clip(ended.get("message", ""))
    text = f"{_who(status)} ended with exit code {ended.get('exitCode')}{': ' + last_words if last_words else '.'}"
    return PodFailure(PodReason.CRASH_LOOP, f"{text} See {_logs_command(pod, status)}.")


def _is_settled(state: Manifest, now: datetime) -> bool:
    """Tell whether the container has run for so long that its last end is no longer what keeps it from being ready."""
    started_at = (state.get("running") or {}).get("startedAt")
    return started_at is not None and now - datetime.fromisoformat(started_at) >= timedelta(seconds=SETTLED_SECONDS)


def _logs_command(pod: Manifest, status: Manifest) -> str:
    container = "" if _is_ours(status) else f" --container {status['name']}"
    return f"kubectl logs --namespace {pod['metadata']['namespace']} {pod['metadata']['name']}{container} --previous"


def _unready_containers(pod: Manifest) -> list[Manifest]:
    """Return the containers that are not ready, our own first; one that ran to its end as it should counts as ready."""
    live = _status(pod)
    statuses = [*(live.get("containerStatuses") or ()), *(live.get("initContainerStatuses") or ())]
    return sorted((status for status in statuses if not status.get("ready")), key=lambda status: not _is_ours(status))


def _is_ours(status: Manifest) -> bool:
    """Tell our container from those that a webhook put beside it."""
    return bool(status["name"] == names.CONTAINER)


def _who(status: Manifest) -> str:
    return "The container" if _is_ours(status) else f"The container {status['name']}"


def _status(pod: Manifest) -> Manifest:
    return pod.get("status") or {}


def _clip(text: str) -> str:
    """Return one line of bounded length that ends a sentence."""
    line = " ".join(text.split())
    if len(line) > _MAX_DETAIL:
        line = line[: _MAX_DETAIL - 1] + "…"
    return line if not line or line[-1] in ".!?…" else line + "."
