"""`deploy/k8s-deployment.yaml` is what the operator would make of `spec: {}`, without anything that only the operator understands."""

from typing import Any

import pytest
import yaml

from chatbot_operator.desired import desired_state
from scripts.generate import ROOT
from tests.resources import SETTINGS, resource_of

NAME = "general-purpose-chatbot"
MANIFESTS: dict[str, dict[str, Any]] = {
    manifest["kind"]: manifest for manifest in yaml.safe_load_all((ROOT / "deploy/k8s-deployment.yaml").read_text(encoding="utf-8"))
}
POD: dict[str, Any] = MANIFESTS["Deployment"]["spec"]["template"]
CONTAINER: dict[str, Any] = POD["spec"]["containers"][0]


def test_it_has_every_child_of_a_resource_that_says_nothing() -> None:
    children = desired_state(resource_of({}), SETTINGS, 3)

    assert list(MANIFESTS) == [child["kind"] for child in children]


def test_its_pods_are_the_operators_but_for_their_image_and_what_the_operator_wants_to_know() -> None:
    operators = next(child for child in desired_state(resource_of({}, name=NAME), SETTINGS, 3) if child["kind"] == "Deployment")
    (container,) = operators["spec"]["template"]["spec"]["containers"]
    further = [variable["name"] for variable in container["env"] if variable not in CONTAINER["env"]]

    assert {key: value for key, value in container.items() if key not in ("env", "image")}.items() <= CONTAINER.items()
    assert further == ["POD_UID", "POD_TEMPLATE_HASH"]


@pytest.mark.parametrize("word", ["chatbot.dev", "managed-by", "ownerReferences", "chatbot-system", "POD_UID"])
def test_nothing_in_it_claims_an_operator(word: str) -> None:
    assert word not in yaml.safe_dump_all(MANIFESTS.values())


def test_it_goes_to_the_namespace_that_kubectl_is_told() -> None:
    assert all("namespace" not in manifest["metadata"] for manifest in MANIFESTS.values())


@pytest.mark.parametrize(
    "selector",
    [
        MANIFESTS["Deployment"]["spec"]["selector"]["matchLabels"],
        MANIFESTS["Service"]["spec"]["selector"],
        MANIFESTS["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        MANIFESTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ],
    ids=["Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget"],
)
def test_every_selector_means_its_pods(selector: dict[str, str]) -> None:
    assert selector["app.kubernetes.io/instance"] == NAME
    assert selector.items() <= POD["metadata"]["labels"].items()


def test_three_pods_with_probes_limits_and_no_rights() -> None:
    assert MANIFESTS["Deployment"]["spec"]["replicas"] == 3
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= CONTAINER.keys()
    assert CONTAINER["resources"] == {"requests": {"cpu": "250m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}
    assert POD["spec"]["securityContext"]["runAsUser"] == 1001
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"] is True


def test_its_key_is_that_of_the_documented_secret() -> None:
    (secret,) = [volume["secret"] for volume in POD["spec"]["volumes"] if "secret" in volume]

    assert (secret["secretName"], secret["items"][0]["key"]) == ("chatbot-secrets", "anthropic-api-key")
