"""A change that no pod can live with is held back and explained while the old pods serve on; taken back, all is as it was."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest

from scripts.commands import Tools
from tests.cluster.callers import Caller
from tests.cluster.places import CHATBOT, Place, new_place
from tests.waiting import wait_until

pytestmark = pytest.mark.cluster

DEADLINE = {"rollout": {"minReadySeconds": 1, "progressDeadline": "15s"}}
CALLS_PAUSE_SECONDS = 0.2


@dataclass(frozen=True)
class Mistake:
    """A change of the spec that its author will regret, and what the status says to it."""

    spec: dict[str, Any]
    reason: str
    words: tuple[str, ...]


MISTAKES = {
    "image": Mistake(
        spec={"image": "general-purpose-chatbot:no-such-tag"},
        reason="ImagePullFailed",
        words=("The image general-purpose-chatbot:no-such-tag cannot be pulled: ", "Correct spec.image or spec.imagePullSecrets."),
    ),
    "model": Mistake(
        spec={"model": {"name": "claude-no-such-model"}},
        reason="ModelRejected",
        words=(
            "The model claude-no-such-model does not exist or is not open to this key.",
            "Set spec.model.name to one that is available.",
        ),
    ),
    "key": Mistake(
        spec={"credentials": {"secretRef": {"name": "wrong"}}},
        reason="KeyRejected",
        words=("The API refuses the key anthropic-api-key of Secret wrong.", "kubectl create secret generic wrong"),
    ),
    "size": Mistake(
        spec={"resources": {"requests": {"cpu": "900"}, "limits": {"cpu": "900"}}},
        reason="Unschedulable",
        words=("No node can take a pod: 0/1 nodes are available: 1 Insufficient cpu.", "Add nodes or lower spec.resources.requests."),
    ),
    "prompt": Mistake(
        spec={"systemPromptFrom": {"configMapKeyRef": {"name": "no-such-prompt", "key": "text"}}},
        reason="ProgressDeadlineExceeded",
        words=("Pods wait to be set up. Does ConfigMap no-such-prompt with key text exist in namespace e2e-rollouts-",),
    ),
}


@dataclass(frozen=True)
class Rollout:
    """A chatbot that served before the mistake was applied, and somebody who has kept asking it since."""

    chatbot: Place
    before: list[str]
    caller: Caller


@pytest.fixture(scope="module")
def rolling(installed: Tools) -> Iterator[Place]:
    """A chatbot of two pods, and beside it, begun at once with it, one for each mistake."""
    with new_place(installed, "rollouts") as place:
        place.secret("chatbot-secrets", "demo")
        place.secret("wrong", "invalid-key")
        for name in MISTAKES:
            mistaken(place, name).apply(**DEADLINE)
        place.apply(replicas=2)
        yield place


def mistaken(place: Place, mistake: str) -> Place:
    """Return the chatbot of a mistake."""
    return replace(place, chatbot=f"wrong-{mistake}")


@pytest.fixture(scope="module")
def rollouts(rolling: Place) -> Iterator[dict[str, Rollout]]:
    """The mistakes, all of them at once, since each takes its deadline to be held back."""
    with ExitStack() as callers:
        found = {}
        for name, mistake in MISTAKES.items():
            chatbot = mistaken(rolling, name)
            chatbot.wait_ready()
            caller = callers.enter_context(Caller(chatbot.port(), CALLS_PAUSE_SECONDS))
            found[name] = Rollout(chatbot, identities(chatbot), caller)
            chatbot.apply(**DEADLINE, **mistake.spec)
        yield found


def identities(chatbot: Place) -> list[str]:
    """Return uid and restarts of each pod that takes requests."""
    ready = set(chatbot.ready_pods())
    return sorted(
        f"{pod['metadata']['uid']} restarted {pod['status']['containerStatuses'][0]['restartCount']} times"
        for pod in chatbot.pods()
        if pod["metadata"]["name"] in ready
    )


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_held_back_and_explained_while_old_pods_serve(rollouts: dict[str, Rollout], mistake: str) -> None:
    chatbot, (reason, words) = rollouts[mistake].chatbot, (MISTAKES[mistake].reason, MISTAKES[mistake].words)
    chatbot.wait("condition=Stalled")
    wait_until(lambda: all(part in chatbot.condition("Stalled")["message"] for part in words), what=f"{words}", seconds=60)

    stalled, ready = chatbot.condition("Stalled"), chatbot.condition("Ready")
    assert stalled["reason"] == ready["reason"] == reason
    assert (ready["status"], ready["message"]) == ("False", stalled["message"])
    assert chatbot.condition("Available")["status"] == "True"
    assert chatbot.condition("Reconciling") == {}
    assert identities(chatbot) == rollouts[mistake].before
    assert "invalid-key" not in json.dumps(chatbot.resource())


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_that_is_taken_back_costs_no_pod_and_no_request(rollouts: dict[str, Rollout], mistake: str) -> None:
    chatbot, before, caller = rollouts[mistake].chatbot, rollouts[mistake].before, rollouts[mistake].caller
    chatbot.wait("condition=Stalled")

    chatbot.apply(**DEADLINE)

    chatbot.wait("jsonpath={.status.observedGeneration}=3")
    chatbot.wait_ready()
    assert chatbot.condition("Stalled") == {}
    assert identities(chatbot) == before
    assert len(chatbot.pods()) == 1
    caller.stop()
    assert set(caller.statuses) == {200}, caller.statuses


def test_rolling_update_and_restart_lose_no_request(rolling: Place) -> None:
    place = rolling
    place.wait_ready()
    first = set(place.ready_pods())

    with Caller(place.port(), pause_seconds=0.02) as caller:
        wait_until(lambda: len(caller.statuses) > 5, what="the first answers", seconds=30)
        place.apply(replicas=2, model={"maxTokens": 512})
        place.wait("jsonpath={.status.observedGeneration}=2")
        place.wait_ready()
        wait_until(lambda: not first & names(place), what="old pods gone", seconds=60)
        second = names(place)

        place.kubectl("rollout", "restart", f"deployment/{CHATBOT}")
        place.kubectl("rollout", "status", f"deployment/{CHATBOT}", "--timeout=60s")
        wait_until(lambda: not second & names(place), what="pods from before the restart gone", seconds=60)

    assert set(caller.statuses) == {200}, caller.statuses
    third = names(place)
    place.kubectl("scale", f"chatbot/{CHATBOT}", "--replicas=3")
    place.wait("jsonpath={.status.ready}=3/3")
    place.wait_ready()
    assert third < names(place)


def names(place: Place) -> set[str]:
    """Return the names of all its pods, of those that end, too."""
    ours = f"--selector=app.kubernetes.io/instance={CHATBOT}"
    return set(place.kubectl("get", "pods", ours, "--output=jsonpath={.items[*].metadata.name}").split())
