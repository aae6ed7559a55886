"""Why a pod is not ready, in words that say what to do: read from what scheduler and kubelet wrote into its status."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from chatbot_operator import names
from chatbot_operator.resource import Manifest

_IMAGE_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable"}
)
_HOPELESS_IMAGE_REASONS = frozenset({"InvalidImageName", "ErrImageNeverPull"})
_CONTAINER_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PostStartHookError"})
_MAX_DETAIL = 300


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


def current_revision(pods: Iterable[Manifest]) -> tuple[Manifest, ...]:
    """Return the pods of the newest revision, known by the newest pod; those that are being deleted are left out."""
    staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    newest = max(staying, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]), default=None)
    return () if newest is None else tuple(pod for pod in staying if revision(pod) == revision(newest))


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
    waiting = {((status.get("state") or {}).get("waiting") or {}).get("reason") for status in _containers(pod)}
    return "ContainerCreating" in waiting and datetime.fromisoformat(pod["metadata"]["creationTimestamp"]) < created_before


def worst_failure(pods: Iterable[Manifest]) -> PodFailure | None:
    """Return what keeps pods from being ready: a hopeless one first, otherwise the first by the pod's name."""
    found = [(failure, pod["metadata"]["name"]) for pod in pods if not is_ready(pod) and (failure := failure_of(pod)) is not None]
    first = min(found, key=lambda item: (not item[0].hopeless, item[1]), default=None)
    return first[0] if first else None


def failure_of(pod: Manifest) -> PodFailure | None:
    """Return what keeps one pod from being ready, or None when it is merely starting."""
    return _scheduling_failure(pod) or next((failure for status in _containers(pod) if (failure := _container_failure(pod, status))), None)


def _scheduling_failure(pod: Manifest) -> PodFailure | None:
    for condition in _status(pod).get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False" and condition.get("reason") == "Unschedulable":
            detail = _clip(condition.get("message", "no node fits"))
            return PodFailure(PodReason.UNSCHEDULABLE, f"No node can take a pod: {detail} Add nodes or lower spec.resources.requests.")
    return None


def _container_failure(pod: Manifest, status: Manifest) -> PodFailure | None:
    waiting = (status.get("state") or {}).get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in _IMAGE_REASONS:
        return _image_failure(status, reason, waiting.get("message", ""))
    if reason in _CONTAINER_REASONS:
        detail = _clip(waiting.get("message", reason))
        return PodFailure(PodReason.CONTAINER_FAILED, f"The container cannot be started: {detail} See {describe_command(pod)}.")
    return _crash(pod, status)


def _image_failure(status: Manifest, reason: str, message: str) -> PodFailure:
    # kubelet alternates between the error and "Back-off pulling …: ErrImagePull: the error": one text for both.
    detail = _clip(message.rpartition("ErrImagePull: ")[2] or reason)
    text = f"The image {status.get('image', '')} cannot be pulled: {detail} Correct spec.image or spec.imagePullSecrets."
    return PodFailure(PodReason.IMAGE_PULL_FAILED, text, hopeless=reason in _HOPELESS_IMAGE_REASONS)


def _crash(pod: Manifest, status: Manifest) -> PodFailure | None:
    ended = (status.get("state") or {}).get("terminated") or (status.get("lastState") or {}).get("terminated")
    if not ended:
        return None
    if ended.get("reason") == "OOMKilled":
        return PodFailure(PodReason.CRASH_LOOP, "The container was killed for using too much memory. Raise spec.resources.limits.memory.")
    last_words = _clip(ended.get("message", ""))
    text = f"The container ended with exit code {ended.get('exitCode')}{': ' + last_words if last_words else '.'}"
    return PodFailure(
        PodReason.CRASH_LOOP, f"{text} See kubectl logs --namespace {pod['metadata']['namespace']} {pod['metadata']['name']} --previous."
    )


def _containers(pod: Manifest) -> list[Manifest]:
    return [status for status in _status(pod).get("containerStatuses") or () if status["name"] == names.CONTAINER]


def _status(pod: Manifest) -> Manifest:
    return pod.get("status") or {}


def _clip(text: str) -> str:
    """Return one line of bounded length that ends a sentence."""
    line = " ".join(text.split())
    if len(line) > _MAX_DETAIL:
        line = line[: _MAX_DETAIL - 1] + "…"
    return line if not line or line[-1] in ".!?…" else line + "."
