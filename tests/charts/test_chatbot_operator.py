"""The operator's chart as Helm renders it: what it grants, how its pod is confined, and that it is what the models say."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster.binaries import binary

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "chatbot-operator"
Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]

pytestmark = pytest.mark.api  # Helm is built with the cluster's programs


@pytest.fixture(scope="module")
def helm() -> Callable[..., subprocess.CompletedProcess[str]]:
    program = binary("helm")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture(scope="module")
def render(helm: Callable[..., subprocess.CompletedProcess[str]]) -> Render:
    def rendered(*options: str, release: str = "chatbot-operator") -> list[Manifest]:
        done = helm("template", release, str(CHART), "--namespace=chatbot-system", *options)
        assert done.returncode == 0, done.stderr
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    return rendered


def one(manifests: list[Manifest], kind: str) -> Manifest:
    found = [manifest for manifest in manifests if manifest["kind"] == kind]
    assert len(found) == 1, f"{len(found)} of kind {kind}"
    return found[0]


def test_chart_passes_helm_lint(helm: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = helm("lint", "--strict", str(CHART))

    assert done.returncode == 0, done.stdout


def test_definition_is_the_generated_one_and_survives_an_uninstall(render: Render) -> None:
    definition = one(render(), "CustomResourceDefinition")

    assert definition["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert definition["metadata"].pop("labels")["app.kubernetes.io/name"] == "chatbot-operator"
    assert definition == yaml.safe_load((ROOT / "crds" / "chatbotdeployments.chatbot.dev.yaml").read_text())


def test_cluster_that_cannot_read_the_definition_is_refused(helm: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = helm("template", "chatbot-operator", str(CHART), "--kube-version=1.31.9")

    assert done.returncode != 0
    assert "requires kubeVersion: >=1.32" in done.stderr


def test_definition_can_be_left_out(render: Render) -> None:
    kinds = {manifest["kind"] for manifest in render("--set=crds.create=false")}

    assert "CustomResourceDefinition" not in kinds
    assert "Deployment" in kinds


def test_no_role_reads_secrets_or_uses_wildcards(render: Render) -> None:
    rules = [rule for manifest in render() if manifest["kind"] in {"Role", "ClusterRole"} for rule in manifest["rules"]]

    assert all("*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]} for rule in rules), rules
    assert [rule["verbs"] for rule in rules if "secrets" in rule["resources"]] == [["create"]]


def test_lease_of_the_role_is_the_lease_of_the_operator(render: Render) -> None:
    manifests = render(release="other")

    environment = {entry["name"]: entry.get("value") for entry in container(manifests)["env"]}
    named = [name for rule in one(manifests, "Role")["rules"] for name in rule.get("resourceNames", ())]
    assert named == [environment["OPERATOR_LEASE_NAME"]] == ["other-chatbot-operator"]


def test_pod_meets_the_restricted_pod_security_standard(render: Render) -> None:
    pod = one(render(), "Deployment")["spec"]["template"]["spec"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for part in pod["containers"]:
        assert part["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_images_carry_the_version_unless_a_tag_is_given(render: Render) -> None:
    version = (ROOT / "VERSION").read_text().strip()
    options = ("--set=image.repository=registry.example.com/operator", "--set=serviceImage.tag=1.2.3")

    assert container(render())["image"] == f"chatbot-operator:{version}"
    assert container(render(*options))["image"] == f"registry.example.com/operator:{version}"
    assert {"name": "OPERATOR_SERVICE_IMAGE", "value": "general-purpose-chatbot:1.2.3"} in container(render(*options))["env"]


def test_two_replicas_are_kept_apart_and_drained_one_at_a_time(render: Render) -> None:
    manifests = render()

    deployment, budget = one(manifests, "Deployment")["spec"], one(manifests, "PodDisruptionBudget")["spec"]
    spread = deployment["template"]["spec"]["topologySpreadConstraints"]
    assert deployment["replicas"] == 2
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == deployment["selector"]
    assert [part["topologyKey"] for part in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    assert all(part["labelSelector"] == deployment["selector"] for part in spread)


@pytest.mark.parametrize("replicas", [0, 1])
def test_fewer_replicas_are_rendered_without_a_budget(render: Render, replicas: int) -> None:
    manifests = render(f"--set=replicaCount={replicas}")

    assert one(manifests, "Deployment")["spec"]["replicas"] == replicas
    assert "PodDisruptionBudget" not in {manifest["kind"] for manifest in manifests}


def test_policy_refuses_what_it_cannot_judge(render: Render) -> None:
    manifests = render()

    policy, binding = one(manifests, "ValidatingAdmissionPolicy"), one(manifests, "ValidatingAdmissionPolicyBinding")["spec"]
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert binding == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}


def test_policy_allows_anthropic_services_and_the_image_that_is_installed_by_default(render: Render) -> None:
    policy = one(render("--set=serviceImage.repository=registry.example.com/chatbot"), "ValidatingAdmissionPolicy")["spec"]

    lists = {variable["name"]: variable["expression"] for variable in policy["variables"]}
    assert lists["allowedBaseURLs"] == '["https://api.anthropic.com","*.svc","*.svc.cluster.local"]'
    assert lists["allowedImages"] == '["registry.example.com/chatbot"]'
    assert "!(request.userInfo.username in [])" in [condition["expression"] for condition in policy["matchConditions"]]


def test_policy_can_be_left_out(render: Render) -> None:
    kinds = {manifest["kind"] for manifest in render("--set=admission.enabled=false")}

    assert not kinds & {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("--set=replicaCounts=2", "replicaCounts"),
        ("--set=logLevel=chatty", "logLevel"),
        ("--set=image.repository=", "repository"),
        ("--set=image.pullPolicy=Sometimes", "pullPolicy"),
        ("--set=admission.exemptServiceAccounts={argocd}", "exemptServiceAccounts"),
        ("--set=admission.allowedBaseURLs={api.anthropic.com}", "allowedBaseURLs"),
        ("--set=admission.allowedBaseURLs={https://api.anthropic.com/}", "allowedBaseURLs"),
        ("--set=admission.allowedImageRegistries={registry.example.com/}", "allowedImageRegistries"),
        ("--set=admission.allowedimageregistries={registry.example.com}", "allowedimageregistries"),
    ],
)
def test_wrong_values_are_refused_by_name(helm: Callable[..., subprocess.CompletedProcess[str]], option: str, named: str) -> None:
    done = helm("template", "chatbot-operator", str(CHART), option)

    assert done.returncode != 0
    assert named in done.stderr


def container(manifests: list[Manifest]) -> Manifest:
    part: Manifest = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return part
