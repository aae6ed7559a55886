"""What a running operator makes of a resource and its edits, keeps and leaves alone, and how many requests it takes for that."""

import base64
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.api.children import CHILDREN, uid, wait_for_children
from tests.api.operator_process import Account, Namespace, OperatorProcess, Requests, start_operator
from tests.api.pods import run_until_ready
from tests.waiting import wait_until

pytestmark = pytest.mark.api

FURTHER_CHILDREN = {"configmap": "{}-prompt", "ingress": "{}"}
"""Those that a spec can ask for, and their names."""


def test_new_resource_costs_one_request_for_each_child_and_one_for_its_status(
    team: Namespace, bot: str, operator: OperatorProcess, requests: Requests
) -> None:
    team.apply(bot, replicas=2, systemPrompt="Be brief.", rollout={"minReadySeconds": 1})

    run_until_ready(team, bot)
    operator.wait_until_idle()

    assert Counter(requests.made(name=bot)) == Counter(
        {
            **{
                ("patch", kind, 201): 1
                for kind in ("serviceaccounts", "configmaps", "services", "networkpolicies", "deployments", "poddisruptionbudgets")
            },
            ("patch", "chatbotdeployments/status", 200): 1,
        }
    )


def test_edit_costs_one_request_for_the_child_and_two_at_most_for_the_status(
    team: Namespace, bot: str, operator: OperatorProcess, requests: Requests
) -> None:
    team.apply(bot, replicas=2, rollout={"minReadySeconds": 1})
    run_until_ready(team, bot)
    before = requests.made(name=bot)

    team.apply(bot, replicas=2, rollout={"minReadySeconds": 1}, model={"maxTokens": 2048})
    run_until_ready(team, bot)
    operator.wait_until_idle()

    made = Counter(requests.made(name=bot)[len(before) :])
    assert made.pop(("patch", "chatbotdeployments/status", 200)) <= 2
    assert made == Counter({("patch", "deployments", 200): 1})


def test_second_pass_sends_nothing(team: Namespace, bot: str, operator: OperatorProcess, requests: Requests) -> None:
    team.apply(bot, replicas=0)
    wait_until(lambda: team.condition(bot, "Ready"), lambda condition: condition and condition["status"] == "True")
    operator.wait_until_idle()
    before = requests.made()
    passes = operator.metric("controller_runtime_reconcile_total")

    team.kubectl("annotate", "chatbot", bot, "note=touched")
    wait_until(lambda: operator.metric("controller_runtime_reconcile_total"), lambda count: count > passes)
    operator.wait_until_idle()

    assert requests.made() == before


def test_every_line_of_a_pass_says_of_which_resource_and_of_which_pass(team: Namespace, bot: str, operator: OperatorProcess) -> None:
    def lines() -> list[dict[str, Any]]:
        return [line for line in operator.lines() if bot in json.dumps(line)]

    team.apply(bot, replicas=0, ingress={"host": "chat.example.com"})
    wait_until(lambda: "children applied" in [line["message"] for line in lines()])
    team.apply(bot, replicas=0, systemPrompt="Be brief.")
    wait_until(lambda: "child pruned" in [line["message"] for line in lines()])

    created, changed, pruned = lines()
    assert [(line["namespace"], line["name"]) for line in (created, changed, pruned)] == [(team.name, bot)] * 3
    assert re.fullmatch("[0-9a-f]{8}", created["reconcile_id"])
    assert re.fullmatch("[0-9a-f]{8}", changed["reconcile_id"])
    assert created["reconcile_id"] != changed["reconcile_id"] == pruned["reconcile_id"]


@pytest.mark.parametrize("kind", [*CHILDREN, *FURTHER_CHILDREN])
def test_deleted_child_comes_back(team: Namespace, bot: str, kind: str) -> None:
    name = FURTHER_CHILDREN.get(kind, "{}").format(bot)
    team.apply(bot, systemPrompt="Be brief.", ingress={"host": "chat.example.com"})
    old = wait_until(lambda: team.get(kind, name))

    team.kubectl("delete", kind, name, "--wait=false")

    wait_until(lambda: uid(team.get(kind, name)), lambda new: new not in (None, uid(old)))


def test_foreign_fields_are_kept(team: Namespace, bot: str) -> None:
    team.apply(bot)
    wait_for_children(team, bot)
    patch = {
        "metadata": {"annotations": {"example.com/note": "kept"}},
        "spec": {"template": {"spec": {"containers": [{"name": "sidecar", "image": "sidecar:1"}]}}},
    }

    team.kubectl("patch", "deployment", bot, f"--patch={json.dumps(patch)}")
    team.kubectl("rollout", "restart", f"deployment/{bot}")
    team.apply(bot, model={"maxTokens": 2048})

    deployment = wait_until(lambda: team.get("deployment", bot), lambda live: "2048" in json.dumps(live))
    assert deployment is not None
    assert deployment["metadata"]["annotations"]["example.com/note"] == "kept"
    assert "kubectl.kubernetes.io/restartedAt" in deployment["spec"]["template"]["metadata"]["annotations"]
    assert {container["name"] for container in deployment["spec"]["template"]["spec"]["containers"]} == {"chatbot", "sidecar"}


def test_field_removed_from_the_spec_is_removed_from_the_child(team: Namespace, bot: str) -> None:
    team.apply(bot, imagePullSecrets=[{"name": "registry"}], service={"annotations": {"example.com/internal": "true"}})
    wait_for_children(team, bot)

    team.apply(bot)

    def pull_secrets() -> Any:
        return (team.get("deployment", bot) or {})["spec"]["template"]["spec"].get("imagePullSecrets")

    wait_until(pull_secrets, lambda secrets: secrets is None)
    wait_until(lambda: team.get("service", bot), lambda service: "example.com/internal" not in json.dumps(service))


def test_child_that_is_no_longer_desired_is_pruned(team: Namespace, bot: str) -> None:
    team.apply(bot, replicas=2)
    wait_until(lambda: team.get("poddisruptionbudget", bot))

    team.apply(bot, replicas=1)

    wait_until(lambda: team.get("poddisruptionbudget", bot), lambda budget: budget is None)


def test_prompt_that_is_no_longer_desired_stays_for_the_pods_that_mount_it(team: Namespace, bot: str) -> None:
    team.apply(bot, replicas=1, systemPrompt="Be brief.", rollout={"minReadySeconds": 0})
    run_until_ready(team, bot)

    team.apply(bot, replicas=1, rollout={"minReadySeconds": 0})
    held = team.wait_for_status(bot)
    kept = team.get("configmap", f"{bot}-prompt")
    run_until_ready(team, bot)

    assert held["status"]["state"] == "Progressing"
    assert kept is not None
    wait_until(lambda: team.get("configmap", f"{bot}-prompt"), lambda prompt: prompt is None)


def test_client_token_is_made_once_and_never_touched_again(
    team: Namespace, bot: str, operator: OperatorProcess, requests: Requests
) -> None:
    team.apply(bot, replicas=0, clientAuth={"mode": "Token"})
    secret = wait_until(lambda: team.get("secret", f"{bot}-client-token"))
    team.kubectl("patch", "secret", f"{bot}-client-token", "--type=merge", '--patch={"stringData":{"tokens":"one of my own"}}')

    team.apply(bot, replicas=0, clientAuth={"mode": "Token"}, model={"maxTokens": 2048})
    wait_until(lambda: "2048" in json.dumps(team.get("deployment", bot)))
    operator.wait_until_idle()

    assert secret is not None
    assert len(base64.b64decode(secret["data"]["tokens"]).strip()) >= 40
    assert secret["metadata"]["ownerReferences"][0]["name"] == bot
    kept = team.get("secret", f"{bot}-client-token")
    assert kept is not None
    assert base64.b64decode(kept["data"]["tokens"]) == b"one of my own"
    assert [request for request in requests.made() if request[1] == "secrets"].count(("create", "secrets", 201)) == 1
    assert not [verb for verb, resource, _ in requests.made() if resource == "secrets" and verb != "create"]


def test_scale_subresource_reaches_the_deployment(team: Namespace, bot: str) -> None:
    team.apply(bot, replicas=1)
    wait_until(lambda: team.get("deployment", bot))

    team.kubectl("scale", f"chatbot/{bot}", "--replicas=5")

    wait_until(lambda: (team.get("deployment", bot) or {})["spec"]["replicas"], lambda replicas: replicas == 5)
    run_until_ready(team, bot)
    scale = json.loads(team.kubectl("get", "--raw", f"/apis/chatbot.dev/v1alpha1/namespaces/{team.name}/chatbotdeployments/{bot}/scale"))
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (5, 5)
    assert bot in scale["status"]["selector"]


def test_annotation_keeps_the_hands_off(team: Namespace, bot: str, operator: OperatorProcess) -> None:
    team.apply(bot, replicas=0)
    team.wait_for_status(bot)
    team.kubectl("annotate", "chatbot", bot, "chatbot.dev/reconcile=disabled")
    operator.wait_until_idle()

    team.kubectl("scale", "deployment", bot, "--replicas=4")
    operator.wait_until_idle()

    assert (team.get("deployment", bot) or {})["spec"]["replicas"] == 4


def test_restarted_operator_writes_nothing(team: Namespace, bot: str, account: Account, requests: Requests, directory: Path) -> None:
    team.apply(bot, replicas=0, systemPrompt="Be brief.")
    wait_until(lambda: team.condition(bot, "Ready"), lambda condition: condition and condition["status"] == "True")
    before = requests.writes(name=bot)

    with start_operator(account, directory, OPERATOR_LEADER_ELECTION="false") as second:
        second.wait_until_idle()

    assert requests.writes(name=bot) == before
