"""One operator for this module, in a namespace of its own; each test has its own resource."""

import base64
import json
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from devcluster.controlplane import ControlPlane, KubectlFailed
from tests.api.operator_process import (
    Account,
    Namespace,
    OperatorProcess,
    Requests,
    free_port,
    grant,
    start_operator,
    wait_until,
)
from tests.api.pods import run_until_ready
from tests.api.webhook import answering_webhook, registered_webhook

pytestmark = pytest.mark.api

CHILDREN = ("serviceaccount", "service", "networkpolicy", "deployment", "poddisruptionbudget")
FURTHER_CHILDREN = {"configmap": "{}-prompt", "ingress": "{}"}
"""Those that a spec can ask for, and their names."""


@pytest.fixture(scope="module")
def team(control_plane_with_crd: ControlPlane) -> Namespace:
    namespace = Namespace(control_plane_with_crd, f"reconcile-{uuid.uuid4().hex[:6]}")
    control_plane_with_crd.kubectl("create", "namespace", namespace.name)
    return namespace


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("operator")


@pytest.fixture(scope="module")
def account(team: Namespace, directory: Path) -> Account:
    return grant(team.plane, team.name, directory)


@pytest.fixture(scope="module")
def operator(account: Account, directory: Path) -> Iterator[OperatorProcess]:
    with start_operator(account, directory) as operator:
        yield operator


@pytest.fixture
def requests(team: Namespace, account: Account) -> Requests:
    return Requests(team.plane, account.user)


@pytest.fixture
def bot(operator: OperatorProcess, team: Namespace) -> Iterator[str]:
    """A name for this test's resource, of which no other one is a prefix."""
    name = f"bot-{uuid.uuid4().hex[:8]}"
    yield name
    team.kubectl("delete", "chatbot", name, "--ignore-not-found", "--wait=false")


def wait_for_children(team: Namespace, name: str) -> None:
    """Wait until the last child is there; the status of a rollout comes later."""
    wait_until(lambda: team.get("poddisruptionbudget", name))


def uid(manifest: dict[str, Any] | None) -> str | None:
    return manifest["metadata"]["uid"] if manifest else None


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


@pytest.mark.parametrize("kind", [*CHILDREN, *FURTHER_CHILDREN])
def test_deleted_child_comes_back(team: Namespace, bot: str, kind: str) -> None:
    name = FURTHER_CHILDREN.get(kind, "{}").format(bot)
    team.apply(bot, systemPrompt="Be brief.", ingress={"host": "chat.example.com"})
    old = wait_until(lambda: team.get(kind, name))

    team.kubectl("delete", kind, name, "--wait=false")

    wait_until(lambda: uid(team.get(kind, name)), lambda new: new not in (None, uid(old)))


def test_drift_of_an_owned_field_is_corrected(team: Namespace, bot: str) -> None:
    team.apply(bot, replicas=2)
    wait_for_children(team, bot)

    team.kubectl("scale", "deployment", bot, "--replicas=7")
    team.kubectl("patch", "service", bot, "--type=merge", '--patch={"spec":{"selector":{"app.kubernetes.io/instance":"elsewhere"}}}')

    wait_until(lambda: (team.get("deployment", bot) or {})["spec"]["replicas"], lambda replicas: replicas == 2)
    wait_until(lambda: (team.get("service", bot) or {})["spec"]["selector"]["app.kubernetes.io/instance"], lambda selected: selected == bot)


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


def test_child_that_lost_its_owner_is_a_conflict_and_nothing_is_pruned_until_it_is_offered(team: Namespace, bot: str) -> None:
    team.apply(bot, replicas=0, systemPrompt="Be brief.")
    team.wait_for_status(bot)

    team.kubectl("patch", "service", bot, "--type=merge", '--patch={"metadata":{"ownerReferences":null}}')
    wait_until(lambda: team.condition(bot, "Stalled"), lambda stalled: stalled and stalled["reason"] == "Conflict")
    team.apply(bot, replicas=0)
    team.wait_for_status(bot)

    assert team.get("configmap", f"{bot}-prompt") is not None
    team.kubectl("label", "service", bot, "chatbot.dev/adopt=true")
    wait_until(lambda: team.condition(bot, "Stalled"), lambda stalled: stalled is None, seconds=5)
    wait_until(lambda: team.get("configmap", f"{bot}-prompt"), lambda prompt: prompt is None)


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


def test_refusal_by_quota_is_shown_in_the_words_of_the_api_server(team: Namespace, bot: str) -> None:
    count = "count/networkpolicies.networking.k8s.io"
    team.kubectl("create", "quota", bot, f"--hard={count}=0")
    wait_until(lambda: team.get("quota", bot), lambda quota: quota and quota["status"].get("used"))

    team.apply(bot)
    stalled = wait_until(lambda: team.condition(bot, "Stalled"))
    team.kubectl("delete", "quota", bot)

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


def network_policies_wait_for(team: Namespace, words: str) -> None:
    """Return when the API server knows of the webhook: it takes a moment to."""
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "probe"}, "spec": {"podSelector": {}}}

    def refusal() -> str:
        try:
            return team.kubectl("create", "--dry-run=server", "--filename=-", input=json.dumps(policy))
        except KubectlFailed as error:
            return str(error)

    wait_until(refusal, lambda refused: words in refused)


def test_refusal_by_a_webhook_is_shown_in_its_words(team: Namespace, bot: str) -> None:
    with answering_webhook(team.plane, refusal="not on a Sunday") as port, registered_webhook(team.plane, team.name, port=port):
        network_policies_wait_for(team, "not on a Sunday")
        team.apply(bot)
        stalled = wait_until(lambda: team.condition(bot, "Stalled"))

    assert stalled is not None
    assert stalled["reason"] == "ApplyRefused"
    words = 'admission webhook "policies.example.com" denied the request: not on a Sunday'
    assert stalled["message"] == f"The API server refuses NetworkPolicy {bot}: {words}. Mend that; it is tried again by itself."
    assert team.get("deployment", bot) is not None


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


def test_transition_to_stalled_is_told_as_an_event(team: Namespace, bot: str) -> None:
    team.kubectl("create", "serviceaccount", bot)

    team.apply(bot)

    listed = wait_until(
        lambda: json.loads(team.kubectl("get", "events.events.k8s.io", "--output=json"))["items"],
        lambda events: any(event["regarding"].get("name") == bot and event["reason"] == "Conflict" for event in events),
    )
    told = [event for event in listed if event["regarding"].get("name") == bot and event["regarding"]["kind"] == "ChatbotDeployment"]
    assert [(event["type"], event["reason"]) for event in told] == [("Warning", "Conflict")]


def test_restarted_operator_writes_nothing(team: Namespace, bot: str, account: Account, requests: Requests, directory: Path) -> None:
    team.apply(bot, replicas=0, systemPrompt="Be brief.")
    wait_until(lambda: team.condition(bot, "Ready"), lambda condition: condition and condition["status"] == "True")
    before = requests.writes(name=bot)

    with start_operator(account, directory, OPERATOR_LEADER_ELECTION="false") as second:
        second.wait_until_idle()

    assert requests.writes(name=bot) == before
