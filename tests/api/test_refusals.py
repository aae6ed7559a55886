"""What an operator says of a child that it may not write, and what it does once it may: conflicts, quotas, policies, webhooks."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chatbot_operator.reconcile import PROBLEM_SECONDS
from devcluster.controlplane import KubectlFailed
from tests.api.children import uid, wait_for_children
from tests.api.operator_process import Namespace, free_port
from tests.api.webhook import answering_webhook, registered_webhook
from tests.waiting import wait_until

pytestmark = pytest.mark.api


@pytest.mark.parametrize("labels", [{}, {"app.kubernetes.io/managed-by": "chatbot-operator"}], ids=["unlabelled", "with our label"])
def test_foreign_object_is_a_conflict_and_stays_untouched(team: Namespace, bot: str, labels: dict[str, str]) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": bot, "labels": labels}, "spec": {"ports": [{"port": 1234}]}}
    team.kubectl("create", "--filename=-", input=json.dumps(service))
    before = team.get("service", bot)

    team.apply(bot)
    stalled = wait_until(lambda: team.condition(bot, "Stalled"))

    assert stalled is not None
    assert (stalled["status"], stalled["reason"]) == ("True", "Conflict")
    assert f"Service {bot}" in stalled["message"]
    assert team.get("service", bot) == before


def test_conflict_heals_when_the_foreign_object_is_offered_for_adoption(team: Namespace, bot: str) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": bot, "labels": {"chatbot.dev/adopt": "true"}}}
    team.kubectl("create", "--filename=-", input=json.dumps(account))
    before = uid(team.get("serviceaccount", bot))

    team.apply(bot)
    wait_for_children(team, bot)
    resource = team.get("chatbot", bot)

    adopted = team.get("serviceaccount", bot)
    assert adopted is not None
    assert uid(adopted) == before
    assert adopted["metadata"]["ownerReferences"][0]["uid"] == uid(resource)
    assert team.condition(bot, "Stalled") is None


def test_child_that_lost_its_owner_is_a_conflict_and_nothing_is_pruned_until_it_is_offered(team: Namespace, bot: str) -> None:
    team.apply(bot, replicas=0, systemPrompt="Be brief.")
    team.wait_for_status(bot)

    team.kubectl("patch", "service", bot, "--type=merge", '--patch={"metadata":{"ownerReferences":null}}')
    wait_until(lambda: team.condition(bot, "Stalled"), lambda stalled: stalled and stalled["reason"] == "Conflict")
    team.apply(bot, replicas=0)
    team.wait_for_status(bot)

    assert team.get("configmap", f"{bot}-prompt") is not None
    team.kubectl("label", "service", bot, "chatbot.dev/adopt=true")
    wait_until(lambda: team.condition(bot, "Stalled"), lambda stalled: stalled is None, seconds=PROBLEM_SECONDS / 2)
    wait_until(lambda: team.get("configmap", f"{bot}-prompt"), lambda prompt: prompt is None)


def test_transition_to_stalled_is_told_as_an_event(team: Namespace, bot: str) -> None:
    team.kubectl("create", "serviceaccount", bot)

    team.apply(bot)

    listed = wait_until(
        lambda: json.loads(team.kubectl("get", "events.events.k8s.io", "--output=json"))["items"],
        lambda events: any(event["regarding"].get("name") == bot and event["reason"] == "Conflict" for event in events),
    )
    told = [event for event in listed if event["regarding"].get("name") == bot and event["regarding"]["kind"] == "ChatbotDeployment"]
    assert [(event["type"], event["reason"]) for event in told] == [("Warning", "Conflict")]


@contextmanager
def quota(team: Namespace, name: str, hard: str) -> Iterator[None]:
    """Limit the namespace, which is the whole module's, until the block ends; what is limited is counted when it begins."""
    team.kubectl("create", "quota", name, f"--hard={hard}")
    try:
        wait_until(lambda: team.get("quota", name), lambda found: found and found["status"].get("used"))
        yield
    finally:
        team.kubectl("delete", "quota", name)


def test_refusal_by_quota_is_shown_in_the_words_of_the_api_server(team: Namespace, bot: str) -> None:
    count = "count/networkpolicies.networking.k8s.io"
    with quota(team, bot, f"{count}=0"):
        team.apply(bot)
        stalled = wait_until(lambda: team.condition(bot, "Stalled"))

    assert stalled is not None
    assert stalled["reason"] == "ApplyRefused"
    assert stalled["message"].startswith(f"The API server refuses NetworkPolicy {bot}: ")
    assert f"exceeded quota: {bot}, requested: {count}=1, used: {count}=" in stalled["message"]
    assert stalled["message"].endswith(f"limited: {count}=0. Mend that; it is tried again by itself.")
    assert team.get("deployment", bot) is not None


def test_refusal_of_pods_by_pod_security_is_shown_in_the_words_of_the_api_server(team: Namespace, bot: str) -> None:
    team.plane.kubectl("label", "namespace", team.name, "pod-security.kubernetes.io/enforce=restricted", "--overwrite")
    team.apply(bot, replicas=1)
    wait_until(lambda: team.kubectl("get", "pods", "--output=name"), lambda pods: f"pod/{bot}-" in pods)
    sidecar = {"spec": {"template": {"spec": {"containers": [{"name": "sidecar", "image": "sidecar:1"}]}}}}

    team.kubectl("patch", "deployment", bot, f"--patch={json.dumps(sidecar)}")

    refused = wait_until(lambda: team.condition(bot, "Reconciling"), lambda condition: condition and condition["reason"] == "PodsRefused")
    team.plane.kubectl("label", "namespace", team.name, "pod-security.kubernetes.io/enforce-")
    assert refused is not None
    assert 'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "sidecar"' in refused["message"]
    assert refused["message"].endswith(f"Raise the quota or correct the policy of namespace {team.name}.")


def test_refusal_of_pods_by_quota_is_shown_in_the_words_of_the_api_server(team: Namespace, bot: str) -> None:
    with quota(team, bot, "pods=0"):
        team.apply(bot, replicas=1)
        refused = wait_until(
            lambda: team.condition(bot, "Reconciling"), lambda condition: condition and condition["reason"] == "PodsRefused"
        )

    assert refused is not None
    assert refused["message"].startswith(f'Pods cannot be created: pods "{bot}-')
    assert f"is forbidden: exceeded quota: {bot}, requested: pods=1, used: pods=" in refused["message"]
    assert refused["message"].endswith(f"limited: pods=0. Raise the quota or correct the policy of namespace {team.name}.")


def network_policies_wait_for(team: Namespace, words: str) -> None:
    """Return when the API server knows of the webhook: it takes a moment to."""
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "probe"}, "spec": {"podSelector": {}}}

    def refusal() -> str:
        try:
            return team.kubectl("create", "--dry-run=server", "--filename=-", input=json.dumps(policy))
        except KubectlFailed as error:
            return str(error)

    wait_until(refusal, lambda refused: words in refused)


@pytest.mark.parametrize("code", [None, 409])
def test_refusal_by_a_webhook_is_shown_in_its_words(team: Namespace, bot: str, code: int | None) -> None:
    with answering_webhook(team.plane, refusal="not on a Sunday", code=code) as port, registered_webhook(team.plane, team.name, port=port):
        network_policies_wait_for(team, "not on a Sunday")
        team.apply(bot)
        stalled = wait_until(lambda: team.condition(bot, "Stalled"))

    assert stalled is not None
    assert stalled["reason"] == "ApplyRefused"
    words = 'admission webhook "policies.example.com" denied the request: not on a Sunday'
    assert stalled["message"] == f"The API server refuses NetworkPolicy {bot}: {words}. Mend that; it is tried again by itself."
    assert team.get("deployment", bot) is not None


def test_failure_that_a_webhook_tells_of_is_shown_in_its_words_and_waited_for(team: Namespace, bot: str) -> None:
    with answering_webhook(team.plane, refusal="no database", code=500) as port, registered_webhook(team.plane, team.name, port=port):
        network_policies_wait_for(team, "no database")
        team.apply(bot)
        waiting = wait_until(lambda: team.condition(bot, "Reconciling"), lambda found: found and found["reason"] == "WebhookUnavailable")
        assert team.get("deployment", bot) is not None

    assert waiting is not None
    assert 'admission webhook "policies.example.com" denied the request: no database' in waiting["message"]
    wait_until(lambda: team.get("networkpolicy", bot), seconds=30)


def test_webhook_that_does_not_answer_is_named_and_waited_for(team: Namespace, bot: str) -> None:
    with registered_webhook(team.plane, team.name, port=free_port()):
        network_policies_wait_for(team, "connection refused")
        team.apply(bot)
        waiting = wait_until(lambda: team.condition(bot, "Reconciling"), lambda found: found and found["reason"] == "WebhookUnavailable")
        assert team.get("deployment", bot) is not None

    assert waiting is not None
    assert waiting["message"].startswith(f"The API server cannot accept NetworkPolicy {bot}: ")
    assert 'failed calling webhook "policies.example.com"' in waiting["message"]
    assert waiting["message"].endswith("connect: connection refused. Mend the webhook if it lasts; it is tried again by itself.")
    wait_until(lambda: team.get("networkpolicy", bot), seconds=30)
