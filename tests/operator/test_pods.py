from datetime import UTC, datetime
from typing import Any

import pytest

from chatbot_operator import pods
from chatbot_operator.pods import PodFailure, PodReason, current_revision
from chatbot_operator.resource import Manifest

NOW = datetime(2026, 11, 22, 13, 0, 0, tzinfo=UTC)


def failure_of(pod: Manifest) -> PodFailure | None:
    return pods.failure_of(pod, now=NOW)


def _pod(name: str = "bot-a", *, revision: str = "h1", created: str = "2026-11-22T12:00:00Z", **container: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "demo", "creationTimestamp": created, "labels": {"pod-template-hash": revision}},
        "status": {"containerStatuses": [{"name": "chatbot", "image": "chat:1", **container}]},
    }


def _waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason, "message": message}}}


def test_starting_pod_has_no_failure() -> None:
    assert failure_of(_pod(**_waiting("ContainerCreating"))) is None
    assert failure_of({"metadata": {"name": "bot-a", "namespace": "demo"}}) is None


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("ErrImagePull", "chat:1: not found"),
        ("ImagePullBackOff", 'Back-off pulling image "chat:1": ErrImagePull: chat:1: not found'),
    ],
)
def test_both_texts_of_a_failed_pull_read_the_same(reason: str, message: str) -> None:
    failure = failure_of(_pod(**_waiting(reason, message)))

    assert failure is not None
    assert failure.message == "The image chat:1 cannot be pulled: chat:1: not found. Correct spec.image or spec.imagePullSecrets."


@pytest.mark.parametrize("reason", ["InvalidImageName", "ErrImageNeverPull"])
def test_image_that_no_waiting_helps_is_hopeless(reason: str) -> None:
    failure = failure_of(_pod(**_waiting(reason)))

    assert failure is not None
    assert (failure.reason, failure.hopeless) == (PodReason.IMAGE_PULL_FAILED, True)


def test_container_that_cannot_start_is_named() -> None:
    failure = failure_of(_pod(**_waiting("CreateContainerConfigError", "no user")))

    assert failure is not None
    assert failure.message == "The container cannot be started: no user. See kubectl describe pod --namespace demo bot-a."


def test_crash_reads_the_same_whether_it_waits_or_runs_again() -> None:
    ended: dict[str, Any] = {"lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": "Traceback:\n  boom"}}}

    waiting = failure_of(_pod(**_waiting("CrashLoopBackOff", "back-off 20s restarting"), **ended))
    running = failure_of(_pod(state={"running": {"startedAt": "2026-11-22T12:59:00Z"}}, **ended))

    assert waiting == running
    assert waiting is not None
    assert "exit code 1: Traceback: boom." in waiting.message


def test_lack_of_memory_says_which_field_to_raise() -> None:
    failure = failure_of(_pod(lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}))

    assert failure is not None
    assert failure.message.endswith("Raise spec.resources.limits.memory.")


def test_long_texts_are_cut() -> None:
    failure = failure_of(_pod(**_waiting("ErrImagePull", "x" * 10_000)))

    assert failure is not None
    assert len(failure.message) < 500


def test_hopeless_failure_comes_before_one_of_an_earlier_name() -> None:
    found = pods.worst_failure([_pod("bot-a", **_waiting("ErrImagePull")), _pod("bot-b", **_waiting("InvalidImageName"))], now=NOW)

    assert found is not None
    assert found.hopeless


def test_ready_pods_have_no_failure() -> None:
    pod = _pod(lastState={"terminated": {"exitCode": 1}})
    pod["status"]["conditions"] = [{"type": "Ready", "status": "True"}]

    assert pods.worst_failure([pod], now=NOW) is None


def test_old_crash_is_not_why_a_pod_that_runs_is_unready() -> None:
    killed = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}

    assert failure_of(_pod(state={"running": {"startedAt": "2026-11-22T12:50:01Z"}}, lastState=killed)) is not None
    assert failure_of(_pod(state={"running": {"startedAt": "2026-11-22T12:50:00Z"}}, lastState=killed)) is None


def _with_sidecar(**sidecar: Any) -> Manifest:
    pod = _pod(ready=True, state={"running": {}}, lastState={"terminated": {"exitCode": 1}})
    pod["status"]["containerStatuses"].insert(0, {"name": "mesh", "image": "mesh:1", **sidecar})
    return pod


@pytest.mark.parametrize(
    ("sidecar", "message"),
    [
        (
            _waiting("ErrImagePull", "not found"),
            "The image mesh:1 of the container mesh cannot be pulled: not found. See kubectl describe pod --namespace demo bot-a.",
        ),
        (
            _waiting("CreateContainerError", "no mount"),
            "The container mesh cannot be started: no mount. See kubectl describe pod --namespace demo bot-a.",
        ),
        (
            {"state": {"terminated": {"exitCode": 2}}},
            "The container mesh ended with exit code 2. See kubectl logs --namespace demo bot-a --container mesh --previous.",
        ),
        (
            {"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}},
            "The container mesh was killed for using too much memory. See kubectl describe pod --namespace demo bot-a.",
        ),
    ],
)
def test_injected_container_that_fails_is_named(sidecar: Manifest, message: str) -> None:
    failure = failure_of(_with_sidecar(**sidecar))

    assert failure is not None
    assert failure.message == message


def test_injected_init_container_that_fails_is_named_and_one_that_is_done_is_not() -> None:
    pod = _pod(**_waiting("PodInitializing"))
    done: Manifest = {"name": "mesh-init", "image": "mesh:1", "ready": True, "state": {"terminated": {"exitCode": 0}}}
    failing: Manifest = {**done, "ready": False, **_waiting("CrashLoopBackOff"), "lastState": {"terminated": {"exitCode": 1}}}

    pod["status"]["initContainerStatuses"] = [done]
    assert failure_of(pod) is None

    pod["status"]["initContainerStatuses"] = [failing]
    failure = failure_of(pod)
    assert failure is not None
    assert failure.message.startswith("The container mesh-init ended with exit code 1.")


def test_ready_container_is_not_why_its_pod_is_unready() -> None:
    assert failure_of(_with_sidecar(state={"running": {}})) is None


def test_our_own_container_is_told_of_before_an_injected_one() -> None:
    pod = _with_sidecar(**_waiting("ErrImagePull"))
    pod["status"]["containerStatuses"][1]["ready"] = False

    failure = failure_of(pod)

    assert failure is not None
    assert failure.message.startswith("The container ended with exit code 1.")


def _revisions(*, old: tuple[str, ...], new: tuple[str, ...]) -> tuple[list[Manifest], list[Manifest]]:
    """Return pods of the revision h0 and of h1, created at these times of the day."""
    found = [
        [_pod(f"bot-{revision}-{at}", revision=revision, created=f"2026-11-22T{at}:00Z") for at in times]
        for revision, times in (("h0", old), ("h1", new))
    ]
    return found[0], found[1]


@pytest.mark.parametrize(
    ("old", "new", "progress"),
    [
        (("10:00",), ("12:00", "11:00"), ""),
        (("10:00", "10:00", "12:05"), ("12:00",), ""),
        (("12:05",), ("12:00",), 'ReplicaSet "bot-h1" has timed out progressing.'),
        (("10:00",), ("12:00",), 'ReplicaSet "bot-h2" is progressing.'),
    ],
    ids=["youngest", "an old pod was replaced", "all old pods were replaced", "the named one has no pods"],
)
def test_revision_that_is_rolled_out_is_named_or_began_last(old: tuple[str, ...], new: tuple[str, ...], progress: str) -> None:
    old_pods, new_pods = _revisions(old=old, new=new)

    assert list(current_revision([*old_pods, *new_pods], progress=progress)) == new_pods
    assert list(current_revision([*new_pods, *old_pods], progress=progress)) == new_pods


def test_leaving_pods_are_of_no_revision() -> None:
    pods_that_stay, (leaving,) = _revisions(old=("10:00",), new=("12:00",))
    leaving["metadata"]["deletionTimestamp"] = "2026-11-22T13:01:00Z"

    assert list(current_revision([*pods_that_stay, leaving], progress='ReplicaSet "bot-h1" is progressing.')) == pods_that_stay
    assert current_revision([leaving], progress="") == ()
