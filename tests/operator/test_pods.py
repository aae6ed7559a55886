from typing import Any

import pytest

from chatbot_operator.pods import PodReason, current_revision, failure_of, worst_failure


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
    running = failure_of(_pod(state={"running": {}}, **ended))

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
    found = worst_failure([_pod("bot-a", **_waiting("ErrImagePull")), _pod("bot-b", **_waiting("InvalidImageName"))])

    assert found is not None
    assert found.hopeless


def test_ready_pods_have_no_failure() -> None:
    pod = _pod(lastState={"terminated": {"exitCode": 1}})
    pod["status"]["conditions"] = [{"type": "Ready", "status": "True"}]

    assert worst_failure([pod]) is None


def test_newest_pod_tells_the_revision_and_leaving_pods_do_not_count() -> None:
    old = _pod("bot-a", revision="h0", created="2026-11-22T10:00:00Z")
    new = [_pod("bot-b", created="2026-11-22T12:00:00Z"), _pod("bot-c", created="2026-11-22T11:00:00Z")]
    leaving = _pod("bot-d", revision="h2", created="2026-11-22T13:00:00Z")
    leaving["metadata"]["deletionTimestamp"] = "2026-11-22T13:01:00Z"

    assert list(current_revision([old, *new, leaving])) == new
    assert current_revision([]) == ()
