"""The chart's admission policy on a real API server: whose change of a spec it refuses, and in which words.

The binding is narrowed to the namespaces of this module, for the other tests' resources name what nobody allowed.
"""

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from chatbot_operator.resource import API_VERSION, KIND, Manifest
from devcluster import binaries
from devcluster.controlplane import ControlPlane, KubectlFailed
from tests.api.dry_run import DryRun, RefusedError
from tests.api.operator_process import CHART, Namespace, grant, start_operator
from tests.waiting import wait_until

pytestmark = pytest.mark.api

READABLE = ["chatbot-secrets", "tokens", "certificate", *(f"registry-{number}" for number in range(8))]
"""The Secrets that the trusted user may get."""
EVERY_SECRET: Manifest = {
    "clientAuth": {"mode": "Token", "secretRef": {"name": "tokens"}},
    "ingress": {"host": "chat.example.com", "tlsSecretName": "certificate"},
    "imagePullSecrets": [{"name": f"registry-{number}"} for number in range(8)],
}
VALUES: Manifest = {
    "admission": {
        "exemptServiceAccounts": ["gitops:agent"],
        "allowedBaseURLs": ["https://api.anthropic.com", "*.svc", "https://gateway.example.com/anthropic"],
        "allowedImageRegistries": ["registry.example.com", "ghcr.example.com/team"],
    }
}
EDITOR: Manifest = {
    "apiGroups": ["chatbot.dev"],
    "resources": ["chatbotdeployments", "chatbotdeployments/scale", "chatbotdeployments/status"],
    "verbs": ["create", "get", "list", "patch", "update"],
}
READER: Manifest = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": READABLE, "verbs": ["get"]}
AGENT, OTHER_AGENT = "system:serviceaccount:gitops:agent", "system:serviceaccount:gitops:other"


def policy_name(namespace: Namespace) -> str:
    return f"{namespace.name}-chatbot-operator"


def chatbot(**spec: Any) -> Manifest:
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "bot"}, "spec": spec}


@dataclass(frozen=True)
class User:
    """Somebody who may write ChatbotDeployments in one namespace."""

    name: str
    kubeconfig: Path
    dry_run: DryRun
    namespace: Namespace

    def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002 (as subprocess.run names it)
        return self.namespace.kubectl(f"--kubeconfig={self.kubeconfig}", *arguments, input=input)

    def apply(self, name: str, **spec: Any) -> None:
        manifest = chatbot(**spec) | {"metadata": {"name": name}}
        self.kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=team", "--filename=-", input=json.dumps(manifest))

    def refusal(self, **spec: Any) -> str:
        """Return why the user may not create this; empty when he may."""
        try:
            self.dry_run.create(chatbot(**spec))
        except RefusedError as refused:
            return str(refused)
        return ""


@pytest.fixture(scope="module")
def namespace(control_plane_with_crd: ControlPlane) -> Iterator[Namespace]:
    name = f"admission-{uuid.uuid4().hex[:6]}"
    label = {"admission": name}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": label}}
    control_plane_with_crd.kubectl("create", "--filename=-", input=json.dumps(manifest))
    policy = render(name)
    policy[-1]["spec"]["matchResources"] = {"namespaceSelector": {"matchLabels": label}}
    for part in policy:
        control_plane_with_crd.kubectl("apply", "--server-side", "--filename=-", input=json.dumps(part))
    yield Namespace(control_plane_with_crd, name)
    control_plane_with_crd.kubectl("delete", "--filename=-", input="---\n".join(map(json.dumps, policy)))
    control_plane_with_crd.kubectl("delete", "namespace", name, "--wait=false")


def render(namespace: str) -> list[Manifest]:
    """Return the chart's policy and its binding, installed under the namespace's name."""
    options = (f"--namespace={namespace}", "--values=-", "--show-only=templates/admission.yaml")
    command = [str(binaries.binary("helm")), "template", namespace, str(CHART), *options]
    done = subprocess.run(command, input=yaml.safe_dump(VALUES), capture_output=True, text=True, check=True, timeout=60)
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module")
def users(namespace: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, User]]:
    """Editors of ChatbotDeployments, of whom `trusted` alone may get Secrets; the policy is in force."""
    directory = tmp_path_factory.mktemp("users")
    with ExitStack() as connections:
        users: dict[str, User] = {}
        for name in ("trusted", "editor", AGENT, OTHER_AGENT):
            bind(namespace, name, [EDITOR, READER] if name == "trusted" else [EDITOR])
            kubeconfig = namespace.plane.write_kubeconfig(directory / f"{len(users)}.kubeconfig", user=name)
            dry_run = connections.enter_context(DryRun.of(namespace.plane, user=name, groups=(), namespace=namespace.name))
            users[name] = User(name, kubeconfig, dry_run, namespace)
        wait_until(users["editor"].refusal, lambda refusal: "ValidatingAdmissionPolicy" in refusal, seconds=30)
        yield users


def bind(namespace: Namespace, name: str, rules: list[Manifest], *, user: str = "") -> None:
    """Give a user, who is called as the role unless another one is named, rights within the namespace."""
    metadata = {"name": name.replace(":", "-")}
    rbac, group = "rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io"
    role = {"apiVersion": rbac, "kind": "Role", "metadata": metadata, "rules": rules}
    binding = {
        "apiVersion": rbac,
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": metadata["name"]},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user or name}],
    }
    namespace.kubectl("create", "--filename=-", input=f"{json.dumps(role)}\n---\n{json.dumps(binding)}")


@pytest.fixture
def trusted(users: dict[str, User]) -> User:
    return users["trusted"]


@pytest.fixture
def editor(users: dict[str, User]) -> User:
    return users["editor"]


@pytest.fixture
def bot(trusted: User) -> Iterator[str]:
    """A resource that somebody made who may."""
    name = f"bot-{uuid.uuid4().hex[:8]}"
    trusted.apply(name, systemPrompt="Be brief.")
    yield name
    trusted.namespace.kubectl("delete", "chatbot", name, "--ignore-not-found", "--wait=false")


def test_policy_suits_the_schema(namespace: Namespace, users: dict[str, User]) -> None:
    """The API server compares a policy's expressions with the types of the CRD."""

    def policy() -> Manifest:
        found = namespace.get("validatingadmissionpolicy", policy_name(namespace))
        assert found is not None
        return found

    checked = wait_until(policy, lambda found: found["status"].get("observedGeneration") == found["metadata"]["generation"])

    assert checked["status"].get("typeChecking", {}) == {}


def test_user_is_told_which_secret_and_what_to_do(editor: User) -> None:
    refusal = editor.refusal()

    assert "editor may not get the Secret chatbot-secrets" in refusal
    assert "name another one in spec.credentials.secretRef" in refusal
    assert f"kubectl auth can-i get secret/chatbot-secrets --namespace={editor.namespace.name}" in refusal
    assert "admission.exemptServiceAccounts" in refusal


@pytest.mark.parametrize(
    ("field", "spec"),
    {
        "credentials.secretRef": {"credentials": {"secretRef": {"name": "others"}}},
        "clientAuth.secretRef": {"clientAuth": {"mode": "Token", "secretRef": {"name": "others"}}},
        "ingress.tlsSecretName": {"ingress": {"host": "chat.example.com", "tlsSecretName": "others"}},
        "imagePullSecrets": EVERY_SECRET | {"imagePullSecrets": [*EVERY_SECRET["imagePullSecrets"][:7], {"name": "others"}]},
    }.items(),
)
def test_every_secret_that_the_spec_names_is_looked_at(trusted: User, field: str, spec: Manifest) -> None:
    refusal = trusted.refusal(**spec)

    assert f"trusted may not get the Secret others, and so may not give it to pods: name another one in spec.{field}," in refusal


def test_user_who_may_get_every_secret_may_name_them_all(trusted: User) -> None:
    assert trusted.refusal(**EVERY_SECRET) == ""


@pytest.mark.parametrize(
    "change",
    [{"systemPrompt": "Tell everything."}, {"upstream": {"baseURL": "https://elsewhere.svc"}}, {"replicas": 7}],
    ids=["prompt", "base-url", "replicas"],
)
def test_any_change_of_the_spec_needs_the_rights_to_what_it_names(editor: User, bot: str, change: Manifest) -> None:
    with pytest.raises(KubectlFailed, match="editor may not get the Secret chatbot-secrets"):
        editor.kubectl("patch", "chatbot", bot, "--type=merge", f"--patch={json.dumps({'spec': change})}")


def test_scale_status_and_metadata_need_no_right_to_a_secret(editor: User, bot: str) -> None:
    editor.kubectl("scale", f"chatbot/{bot}", "--replicas=5")
    editor.kubectl("label", "chatbot", bot, "team=a")
    editor.kubectl("annotate", "chatbot", bot, "chatbot.dev/reconcile=disabled")
    editor.kubectl("patch", "chatbot", bot, "--subresource=status", "--type=merge", '--patch={"status": {"summary": "Seen."}}')

    resource = editor.namespace.get("chatbot", bot)
    assert resource is not None
    assert resource["spec"]["replicas"] == 5
    assert resource["metadata"]["labels"] == {"team": "a"}
    assert resource["status"]["summary"] == "Seen."


def test_agent_on_the_list_is_exempt_and_no_other(users: dict[str, User]) -> None:
    anything = {"image": "elsewhere.example.com/any:1", "upstream": {"baseURL": "https://elsewhere.example.com"}}

    assert users[AGENT].refusal(**anything) == ""
    assert f"{OTHER_AGENT} may not get the Secret chatbot-secrets" in users[OTHER_AGENT].refusal()


@pytest.mark.parametrize(
    "url",
    [
        "https://api.anthropic.com",
        "https://api.anthropic.com/v1",
        "https://gateway.example.com/anthropic",
        "https://gateway.example.com/anthropic/team-a",
        "http://simulator.demo.svc:8000",
    ],
)
def test_addresses_on_the_list_are_taken(trusted: User, url: str) -> None:
    assert trusted.refusal(upstream={"baseURL": url}) == ""


@pytest.mark.parametrize(
    "url",
    [
        "https://api.anthropic.com:8443",
        "https://api.anthropic.com.example.com",
        "https://elsewhere.example.com/api.anthropic.com",
        "https://gateway.example.com",
        "https://gateway.example.com/anthropic-2",
        "https://gateway.example.com/anthropic/../others",
        "http://simulator.demo.svc.example.com",
        "https://demo-svc",
    ],
)
def test_other_addresses_are_refused(trusted: User, url: str) -> None:
    refusal = trusted.refusal(upstream={"baseURL": url})

    assert f"trusted must not send requests to {url}: take a spec.upstream.baseURL that the administrator allows (https://api." in refusal
    assert "admission.allowedBaseURLs" in refusal


@pytest.mark.parametrize(
    "image",
    [
        "general-purpose-chatbot:1.2.3",
        f"general-purpose-chatbot@sha256:{'0' * 64}",
        "registry.example.com/any/chatbot:1",
        f"ghcr.example.com/team/chatbot:1@sha256:{'0' * 64}",
    ],
)
def test_images_of_the_registries_on_the_list_are_taken(trusted: User, image: str) -> None:
    assert trusted.refusal(image=image) == ""


@pytest.mark.parametrize(
    "image",
    [
        "chatbot:1",
        "general-purpose-chatbot-2:1",
        "general-purpose-chatbot/other:1",
        "elsewhere.example.com/general-purpose-chatbot:1",
        "registry.example.com:5000/chatbot:1",
        "registry.example.com.elsewhere.example.com/chatbot:1",
        "ghcr.example.com/team-2/chatbot:1",
    ],
)
def test_other_images_are_refused(trusted: User, image: str) -> None:
    refusal = trusted.refusal(image=image)

    assert f"trusted must not run {image}: leave spec.image out, take an image that the administrator allows (general-purpose-" in refusal
    assert "admission.allowedImageRegistries" in refusal


def test_largest_specs_can_be_judged(trusted: User, bot: str) -> None:
    """The API server spends a limited effort on a policy; what exceeds it would be refused."""
    env = [{"name": f"VARIABLE_{number}", "value": "x" * 4096} for number in range(64)]

    trusted.apply(bot, **EVERY_SECRET, env=env, systemPrompt="y" * 32_000)
    trusted.apply(bot, **EVERY_SECRET, env=env, systemPrompt="z" * 32_000)


def test_operator_works_under_the_policy_with_the_rights_of_the_chart(trusted: User, bot: str, tmp_path: Path) -> None:
    account = grant(trusted.namespace.plane, trusted.namespace.name, tmp_path)

    trusted.apply(bot, replicas=0, systemPrompt="Be brief.")
    with start_operator(account, tmp_path):
        trusted.namespace.wait_for_status(bot)
        trusted.apply(bot, replicas=0, systemPrompt="Be kind.")
        trusted.namespace.wait_for_status(bot)

    prompt = trusted.namespace.get("configmap", f"{bot}-prompt")
    assert prompt is not None
    assert "Be kind." in prompt["data"].values()


def test_operator_writes_no_spec_and_could_not_under_the_policy_which_lets_its_status_pass(trusted: User, bot: str, tmp_path: Path) -> None:
    """Another user has the rights of the operator's account, so that what it tries is not held against that."""
    namespace, name = trusted.namespace, "operators-twin"
    role = grant(namespace.plane, namespace.name, tmp_path).lease
    namespace.kubectl("create", "rolebinding", name, f"--clusterrole={role}", f"--user={name}")
    bind(namespace, f"{name}-sees", [resources("get")], user=name)
    with DryRun.of(namespace.plane, user=name, groups=(), namespace=namespace.name) as dry_run:
        twin = User(name, namespace.plane.write_kubeconfig(tmp_path / "twin", user=name), dry_run, namespace)

        wait_until(lambda: refused_status(twin, bot), lambda refusal: not refusal)
        by_its_rights = twin.refusal()
        bind(namespace, f"{name}-creates", [resources("create")], user=name)
        by_the_policy = wait_until(twin.refusal, lambda refusal: refusal != by_its_rights)

    assert f'User "{name}" cannot create resource "chatbotdeployments"' in by_its_rights
    assert f"{name} may not get the Secret chatbot-secrets" in by_the_policy


def resources(verb: str) -> Manifest:
    """Return the right to do one thing with ChatbotDeployments; kubectl reads a status before it writes it."""
    return {"apiGroups": ["chatbot.dev"], "resources": ["chatbotdeployments", "chatbotdeployments/status"], "verbs": [verb]}


def refused_status(user: User, name: str) -> str:
    """Write something into a status and return why that is refused; empty when it is not."""
    try:
        user.kubectl("patch", "chatbot", name, "--subresource=status", "--type=merge", '--patch={"status": {"summary": "Seen."}}')
    except KubectlFailed as error:
        return str(error)
    return ""
