"""Children that go, and those that do not: with their resource, before their successor, or held by a finalizer."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.api.children import CHILDREN, uid, wait_for_children
from tests.api.operator_process import Namespace, OperatorProcess
from tests.waiting import wait_until

pytestmark = pytest.mark.api


@contextmanager
def held(team: Namespace, kind: str, name: str) -> Iterator[None]:
    """Keep a child from going when it is deleted, as the finalizer of a load balancer does."""
    team.kubectl("patch", kind, name, "--type=merge", '--patch={"metadata":{"finalizers":["example.com/hold"]}}')
    yield
    team.kubectl("patch", kind, name, "--type=merge", '--patch={"metadata":{"finalizers":null}}')


def wait_for_words(team: Namespace, name: str, words: str) -> None:
    """Return when the resource says these words, on its way and neither Ready nor Stalled, of its newest generation."""

    def told() -> list[tuple[str, str, str, bool]]:
        resource = team.get("chatbot", name) or {}
        return [
            (each["type"], each["status"], each["reason"], words in each["message"])
            for each in resource["status"].get("conditions", ())
            if each["observedGeneration"] == resource["metadata"]["generation"] and each["type"] in ("Ready", "Reconciling", "Stalled")
        ]

    reason = "WaitingForDeletion"
    wait_until(told, lambda seen: seen == [("Ready", "False", reason, True), ("Reconciling", "True", reason, True)], seconds=30)


def test_child_that_is_being_deleted_is_waited_for_in_words_while_the_others_are_applied(team: Namespace, bot: str) -> None:
    team.apply(bot, replicas=0, rollout={"minReadySeconds": 0})
    wait_until(lambda: team.condition(bot, "Ready"), lambda condition: condition and condition["status"] == "True")

    with held(team, "service", bot):
        team.kubectl("delete", "service", bot, "--wait=false")
        wait_for_words(team, bot, f"Waits for Service {bot} to go; it is made anew then.")
        team.apply(bot, replicas=0, rollout={"minReadySeconds": 0}, service={"port": 8081}, model={"maxTokens": 2048})
        wait_until(lambda: "2048" in json.dumps(team.get("deployment", bot)))
        wait_for_words(team, bot, f"kubectl get service --namespace {team.name} {bot} --output=yaml")
        going = team.get("service", bot)

    assert going is not None
    assert going["spec"]["ports"][0]["port"] == 80
    wait_until(lambda: team.get("service", bot), lambda service: service and service["spec"]["ports"][0]["port"] == 8081)
    wait_until(lambda: team.condition(bot, "Ready"), lambda condition: condition and condition["status"] == "True")


def test_unwanted_child_that_does_not_go_is_waited_for_in_words(team: Namespace, bot: str) -> None:
    spec = {"replicas": 0, "rollout": {"minReadySeconds": 0}}
    team.apply(bot, **spec, ingress={"host": "chat.example.com"})
    wait_until(lambda: team.condition(bot, "Ready"), lambda condition: condition and condition["status"] == "True")

    with held(team, "ingress", bot):
        team.apply(bot, **spec)
        wait_for_words(team, bot, f"Waits for Ingress {bot}, which the spec does without, to go. If that takes long, see its finalizers:")

    wait_until(lambda: team.get("ingress", bot), lambda ingress: ingress is None)
    wait_until(lambda: team.condition(bot, "Ready"), lambda condition: condition and condition["status"] == "True")


def test_successor_waits_in_words_for_what_its_predecessor_left_and_gets_the_other_children(team: Namespace, bot: str) -> None:
    team.apply(bot, replicas=0, rollout={"minReadySeconds": 0})
    team.wait_for_status(bot)
    left = uid(team.get("service", bot))

    with held(team, "service", bot):
        team.kubectl("delete", "chatbot", bot)
        team.apply(bot, replicas=0, rollout={"minReadySeconds": 0})
        wait_for_words(team, bot, f" {bot}, which belongs to an earlier ChatbotDeployment of this name, to go; it is made anew then.")
        second = uid(team.get("chatbot", bot))
        wait_until(
            lambda: team.get("deployment", bot),
            lambda deployment: deployment and deployment["metadata"]["ownerReferences"][0]["uid"] == second,
            seconds=60,
        )
        assert uid(team.get("service", bot)) == left

    wait_until(lambda: team.condition(bot, "Ready"), lambda condition: condition and condition["status"] == "True")


def test_deleted_resource_takes_its_children_along(team: Namespace, bot: str) -> None:
    team.apply(bot, systemPrompt="Be brief.")
    wait_for_children(team, bot)

    team.kubectl("delete", "chatbot", bot)

    kinds = f"{','.join(CHILDREN)},configmap,replicaset,pod,endpointslice"
    wait_until(lambda: team.kubectl("get", kinds, "--output=name"), lambda listed: bot not in listed, seconds=60)


def test_recreated_resource_gets_children_of_its_own(team: Namespace, bot: str) -> None:
    team.apply(bot)
    wait_for_children(team, bot)
    first = team.get("chatbot", bot)

    team.kubectl("delete", "chatbot", bot)
    team.apply(bot)
    second = team.get("chatbot", bot)

    assert uid(first) != uid(second)
    for kind in CHILDREN:
        wait_until(
            lambda kind=kind: team.get(kind, bot),  # type: ignore[misc] # a default binds the loop variable
            lambda child: child and child["metadata"]["ownerReferences"][0]["uid"] == uid(second),
            seconds=60,
        )
    assert team.condition(bot, "Stalled") is None


def test_successor_of_the_same_name_gets_a_client_token_of_its_own(team: Namespace, bot: str, operator: OperatorProcess) -> None:
    team.apply(bot, replicas=0, clientAuth={"mode": "Token"})
    first = wait_until(lambda: team.get("secret", f"{bot}-client-token"))
    operator.wait_until_idle()

    team.kubectl("delete", "chatbot", bot, "--wait")
    wait_until(lambda: team.get("secret", f"{bot}-client-token"), lambda secret: secret is None)
    team.apply(bot, replicas=0, clientAuth={"mode": "Token"})

    second = wait_until(lambda: team.get("secret", f"{bot}-client-token"))
    assert first is not None
    assert second is not None
    assert first["data"]["tokens"] != second["data"]["tokens"]
