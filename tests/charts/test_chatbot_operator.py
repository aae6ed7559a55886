"""The operator's chart as Helm renders it: the definition, the pods, and what they are told."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.rendering import OPERATOR, ROOT, environment, helm, of_kind, one, pod, refusal, render

pytestmark = pytest.mark.programs

DIGEST = f"sha256:{'0' * 64}"
BRACES = '{{ "{{" }}'
"""How braces are opened in further objects that the chart's own templates are to leave alone."""
MONITORING = "--set=monitoring.serviceMonitor.enabled=true,monitoring.rules.enabled=true,monitoring.dashboards.enabled=true"
EXTRAS = {
    "image": {"repository": "registry.example.com:5000/team/operator", "digest": DIGEST},
    "serviceImage": {"tag": "1.2.3"},
    "imagePullSecrets": [{"name": "registry"}],
    "commonLabels": {"team": "chat"},
    "commonAnnotations": {"owner": "chat@example.com"},
    "podLabels": {"team": "operators"},
    "podAnnotations": {"logs": "json"},
    "serviceAccount": {"annotations": {"cloud": "role"}},
    "nodeSelector": {"pool": "system"},
    "tolerations": [{"key": "system", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{}]}}},
    "topologySpreadConstraints": [{"topologyKey": "rack", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}],
    "priorityClassName": "system-cluster-critical",
    "extraEnv": [{"name": "OPERATOR_WORKERS", "value": "16"}],
    "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ca", "readOnly": True}],
    "extraObjects": [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": '{{ include "chatbot-operator.fullname" . }}-extra'},
            "data": {"0": "1", "summary": f"{BRACES} $labels.namespace }}}} is down"},
        }
    ],
}


@pytest.fixture(scope="module")
def extras(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The option of a file of values in which everything that can be added is."""
    file = tmp_path_factory.mktemp("values") / "extras.json"
    file.write_text(json.dumps(EXTRAS))
    return f"--values={file}"


@pytest.mark.parametrize("chart", ["chatbot-operator", "chatbot"])
def test_chart_passes_helm_lint(chart: str) -> None:
    done = helm("lint", "--strict", str(ROOT / "charts" / chart))

    assert done.returncode == 0, done.stdout


def test_definition_is_the_generated_one_and_survives_an_uninstall() -> None:
    definition = one(render(OPERATOR), "CustomResourceDefinition")

    assert definition["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert definition["metadata"].pop("labels")["app.kubernetes.io/name"] == OPERATOR
    assert definition == yaml.safe_load((ROOT / "crds" / "chatbotdeployments.chatbot.dev.yaml").read_text())


def test_definition_goes_with_the_release_where_that_is_asked_for() -> None:
    definition = one(render(OPERATOR, "--set=crds.keep=false"), "CustomResourceDefinition")

    assert "annotations" not in definition["metadata"]


def test_definition_can_be_left_out() -> None:
    kinds = {manifest["kind"] for manifest in render(OPERATOR, "--set=crds.create=false")}

    assert "CustomResourceDefinition" not in kinds
    assert "Deployment" in kinds


def test_cluster_that_cannot_read_the_definition_is_refused() -> None:
    assert "requires kubeVersion: >=1.32" in refusal(OPERATOR, "--kube-version=1.31.9")


def test_pod_meets_the_restricted_pod_security_standard() -> None:
    spec = pod(render(OPERATOR))

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for part in spec["containers"]:
        assert part["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_images_carry_the_version_unless_a_tag_or_a_digest_is_given(extras: str) -> None:
    version = (ROOT / "VERSION").read_text().strip()

    assert pod(render(OPERATOR))["containers"][0]["image"] == f"chatbot-operator:{version}"
    assert environment(render(OPERATOR))["OPERATOR_SERVICE_IMAGE"] == f"general-purpose-chatbot:{version}"
    assert pod(render(OPERATOR, extras))["containers"][0]["image"] == f"registry.example.com:5000/team/operator@{DIGEST}"
    assert environment(render(OPERATOR, extras))["OPERATOR_SERVICE_IMAGE"] == "general-purpose-chatbot:1.2.3"


def test_two_replicas_are_kept_apart_and_drained_one_at_a_time() -> None:
    manifests = render(OPERATOR)

    deployment, budget = one(manifests, "Deployment")["spec"], one(manifests, "PodDisruptionBudget")["spec"]
    spread = deployment["template"]["spec"]["topologySpreadConstraints"]
    assert deployment["replicas"] == 2
    assert budget["maxUnavailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert budget["selector"] == deployment["selector"]
    assert [part["topologyKey"] for part in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    assert all(part["labelSelector"] == deployment["selector"] for part in spread)


@pytest.mark.parametrize(("option", "replicas"), [("replicaCount=0", 0), ("replicaCount=1", 1), ("podDisruptionBudget.enabled=false", 2)])
def test_budget_is_for_two_replicas_that_want_one(option: str, replicas: int) -> None:
    manifests = render(OPERATOR, f"--set={option}")

    assert one(manifests, "Deployment")["spec"]["replicas"] == replicas
    assert not of_kind(manifests, "PodDisruptionBudget")


@pytest.mark.parametrize("least", [0, 1, "50%"])
def test_budget_says_what_must_stay_where_that_is_set(least: int | str) -> None:
    budget = one(render(OPERATOR, f"--set=podDisruptionBudget.minAvailable={least}"), "PodDisruptionBudget")["spec"]

    assert budget["minAvailable"] == least
    assert "maxUnavailable" not in budget


def test_pods_get_what_is_added(extras: str) -> None:
    spec = pod(render(OPERATOR, extras))

    for field in ("imagePullSecrets", "nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "priorityClassName"):
        assert spec[field] == EXTRAS[field]
    assert spec["volumes"] == EXTRAS["extraVolumes"]
    assert spec["containers"][0]["volumeMounts"] == EXTRAS["extraVolumeMounts"]
    assert environment(render(OPERATOR, extras))["OPERATOR_WORKERS"] == "16"


def test_every_object_has_the_common_labels_and_annotations(extras: str) -> None:
    manifests = [manifest for manifest in render(OPERATOR, extras, MONITORING) if not manifest["metadata"]["name"].endswith("-extra")]

    assert {manifest["metadata"]["labels"]["team"] for manifest in manifests} == {"chat"}
    assert {manifest["metadata"]["annotations"]["owner"] for manifest in manifests} == {"chat@example.com"}
    assert one(manifests, "ServiceAccount")["metadata"]["annotations"]["cloud"] == "role"
    template = one(manifests, "Deployment")["spec"]["template"]["metadata"]
    assert template["labels"]["team"] == "operators"
    assert template["annotations"] == {"logs": "json"}


def test_further_objects_may_use_the_chart_s_names_and_braces_of_their_own(extras: str) -> None:
    further = one(render(OPERATOR, extras), "ConfigMap")

    assert further["metadata"]["name"] == "chatbot-operator-extra"
    assert further["data"]["summary"] == "{{ $labels.namespace }} is down"
    assert f"`{BRACES}`" in (ROOT / "charts" / OPERATOR / "values.yaml").read_text()


def test_null_is_as_good_as_empty() -> None:
    values = yaml.safe_load((ROOT / "charts" / OPERATOR / "values.yaml").read_text())
    nulls = ",".join(f"{path}=null" for path, default in leaves(values) if not default)

    assert render(OPERATOR, f"--set={nulls}", MONITORING) == render(OPERATOR, MONITORING)


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value that is no group of others, by its path."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def test_names_come_from_the_release_or_are_given() -> None:
    assert one(render(OPERATOR, release="other"), "Deployment")["metadata"]["name"] == "other-chatbot-operator"
    assert one(render(OPERATOR, "--set=fullnameOverride=operator"), "Deployment")["metadata"]["name"] == "operator"


def test_operator_is_known_to_the_chat_pods_whatever_the_release_is_called() -> None:
    """Their network policies admit it by this label and its namespace."""
    manifests = render(OPERATOR, "--set=fullnameOverride=operator", release="other")

    template = one(manifests, "Deployment")["spec"]["template"]
    assert template["metadata"]["labels"]["app.kubernetes.io/name"] == "chatbot-operator"
    assert environment(manifests)["OPERATOR_NAMESPACE"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}


def test_policy_lets_the_operator_reach_what_it_needs_and_nobody_else_in() -> None:
    policy = one(render(OPERATOR), "NetworkPolicy")["spec"]

    assert policy["podSelector"] == one(render(OPERATOR), "Deployment")["spec"]["selector"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    ports = [{port["port"] for port in rule["ports"]} for rule in policy["egress"]]
    assert ports == [{53}, {443, 6443, 8443, 16443}, {9090}]
    assert policy["egress"][2]["to"] == [
        {"podSelector": {"matchLabels": {"app.kubernetes.io/managed-by": "chatbot-operator"}}, "namespaceSelector": {}}
    ]
    assert [rule["from"] for rule in policy["ingress"]] == [
        [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    ]


def test_network_policy_can_be_left_out() -> None:
    assert not of_kind(render(OPERATOR, "--set=networkPolicy.enabled=false"), "NetworkPolicy")


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("replicaCounts=2", "additional properties 'replicaCounts' not allowed"),
        ("replicaCount=two", "'/replicaCount': got string, want integer"),
        ("logLevel=chatty", "'/logLevel': value must be one of 'debug', 'info', 'warning', 'error'"),
        ("image.repository=", "'/image/repository'"),
        ("image.repository=registry.example.com/", "'/image/repository'"),
        ("image.repository=registry.example.com//operator", "'/image/repository'"),
        ("serviceImage.repository=registry.example.com/chatbot:1.2", "'/serviceImage/repository'"),
        ("serviceImage.repository=chatbot:1", "'/serviceImage/repository'"),
        ("image.digest=latest", "'/image/digest': 'latest' does not match pattern"),
        ("image.pullPolicy=Sometimes", "'/image/pullPolicy': value must be one of"),
        ("watchNamespaces={Team}", "'/watchNamespaces/0': 'Team' does not match pattern"),
        ("commonLabels.app\\.kubernetes\\.io/name=x", "commonLabels must not set app.kubernetes.io/name"),
        ("podLabels.app\\.kubernetes\\.io/instance=x", "podLabels must not set app.kubernetes.io/instance"),
        ("monitoring.serviceMonitor.labels.helm\\.sh/chart=x", "monitoring.serviceMonitor.labels must not set helm.sh/chart"),
        ("monitoring.rules.labels.app\\.kubernetes\\.io/name=x", "monitoring.rules.labels must not set app.kubernetes.io/name"),
        ("monitoring.dashboards.labels.app\\.kubernetes\\.io/name=x", "monitoring.dashboards.labels must not set"),
        ("networkPolicy.metricsFrom=null", "'/networkPolicy': missing property 'metricsFrom'"),
        ("extraEnv[0].name=OPERATOR_LOG_LEVEL", "extraEnv must not set OPERATOR_LOG_LEVEL, which comes from logLevel"),
        ("extraEnv[0].name=OPERATOR_HTTP_HOST", "extraEnv must not set OPERATOR_HTTP_HOST"),
        ("extraEnv[0].name=OPERATOR_HTTP_PORT", "extraEnv must not set OPERATOR_HTTP_PORT"),
        ("extraEnv[0].name=OPERATOR_LEADER_ELECTION", "extraEnv must not set OPERATOR_LEADER_ELECTION"),
        ("monitoring.serviceMonitor.enabled=true,fullnameOverride=2nd", "begins with a letter: 2nd is not"),
        ("extraObjects[0].kind=ConfigMap", "'/extraObjects/0': missing properties 'apiVersion', 'metadata'"),
        ("podDisruptionBudget.minAvailable=most", "'/podDisruptionBudget/minAvailable': 'most' does not match pattern"),
        ("podDisruptionBudget.maxUnavailable=-1", "'/podDisruptionBudget/maxUnavailable': minimum: got -1, want 0"),
        ("podDisruptionBudget.maxUnavailable=null", "podDisruptionBudget needs maxUnavailable or minAvailable"),
        ("networkPolicy.apiServerPorts[0]=70000", "'/networkPolicy/apiServerPorts/0': maximum"),
        ("tolerations[0].effects=NoSchedule", "additional properties 'effects' not allowed"),
        ("admission.exemptServiceAccounts={argocd}", "exemptServiceAccounts"),
        ("admission.allowedBaseURLs={api.anthropic.com}", "allowedBaseURLs"),
        ("admission.allowedBaseURLs={https://api.anthropic.com/}", "allowedBaseURLs"),
        ("admission.allowedImageRegistries={registry.example.com/}", "allowedImageRegistries"),
        ("admission.allowedimageregistries={registry.example.com}", "allowedimageregistries"),
    ],
)
def test_wrong_values_are_refused_by_name(option: str, named: str) -> None:
    assert named in refusal(OPERATOR, f"--set={option}")


def test_charts_read_no_file_of_another_folder() -> None:
    assert not [path for path in Path(ROOT / "charts").rglob("*") if path.is_symlink()]
