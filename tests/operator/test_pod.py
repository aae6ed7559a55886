"""The pod template, part by part; that it does not depend on the number of pods is among what holds for all children."""

from typing import Any

import pytest
from hypothesis import given

from chatbot_operator import names
from chatbot_operator.desired.placement import without_nulls
from chatbot_operator.desired.pod import build_pod_template
from chatbot_operator.resource import ChatbotDeployment
from tests.resources import SETTINGS, resource_of, resources
from tests.specs import EVERY_FIELD

AFFINITY: dict[str, Any] = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [], "matchFields": None}]}
    },
    "podAffinity": None,
    "newAffinity": {"kept": [0, "", False, {}]},
}


def _template(spec: dict[str, Any] | None = None) -> dict[str, Any]:
    return build_pod_template(resource_of(spec), SETTINGS)


def _pod(spec: dict[str, Any] | None = None) -> dict[str, Any]:
    pod: dict[str, Any] = _template(spec)["spec"]
    return pod


@given(resource=resources)
def test_every_mount_has_its_volume_and_every_volume_its_mount(resource: ChatbotDeployment) -> None:
    pod = build_pod_template(resource, SETTINGS)["spec"]

    mounts = pod["containers"][0]["volumeMounts"]

    assert [mount["name"] for mount in mounts] == [volume["name"] for volume in pod["volumes"]]
    assert len({mount["mountPath"] for mount in mounts}) == len(mounts)


@given(resource=resources)
def test_pod_is_restricted_and_has_no_token(resource: ChatbotDeployment) -> None:
    pod = build_pod_template(resource, SETTINGS)["spec"]

    container = pod["containers"][0]["securityContext"]

    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


@given(resource=resources)
def test_pods_start_without_their_secrets(resource: ChatbotDeployment) -> None:
    volumes = build_pod_template(resource, SETTINGS)["spec"]["volumes"]

    assert all(volume["secret"]["optional"] for volume in volumes if "secret" in volume)


def test_files_come_from_the_objects_that_the_spec_names() -> None:
    volumes = {volume["name"]: volume for volume in _pod(EVERY_FIELD)["volumes"]}

    sources = {name: volume.get("secret") or volume.get("configMap") for name, volume in volumes.items() if name != "tmp"}
    found = {name: (source.get("secretName") or source["name"], source["items"][0]["key"]) for name, source in sources.items()}
    assert found == {
        "credentials": ("team-a-anthropic", "api-key"),
        "prompt": ("bot-prompt", "system-prompt"),
        "ca-bundle": ("company-ca", "bundle.pem"),
        "client-tokens": ("team-a-tokens", "list"),
    }


def test_generated_tokens_are_mounted_from_the_secret_of_the_operator() -> None:
    volume = next(volume for volume in _pod({"clientAuth": {"mode": "Token"}})["volumes"] if volume["name"] == "client-tokens")

    assert (volume["secret"]["secretName"], volume["secret"]["items"][0]["key"]) == ("bot-client-token", "tokens")


def test_tokens_of_nobody_who_must_show_one_are_not_mounted() -> None:
    volumes = _pod({"clientAuth": {"mode": "None", "secretRef": {"name": "team-a-tokens"}}})["volumes"]

    assert [volume["name"] for volume in volumes] == ["tmp", "credentials"]


def test_edited_prompt_rolls_the_pods() -> None:
    assert _template({"systemPrompt": "a"}) != _template({"systemPrompt": "b"})


def test_prompt_of_another_config_map_leaves_no_trace_of_its_text() -> None:
    reference = {"systemPromptFrom": {"configMapKeyRef": {"name": "product-prompt", "key": "prompt.md"}}}

    template = _template(reference)

    volume = next(volume for volume in template["spec"]["volumes"] if volume["name"] == "prompt")
    assert volume["configMap"]["name"] == "product-prompt"
    assert volume["configMap"]["items"] == [{"key": "prompt.md", "path": "system-prompt"}]
    assert "annotations" not in template["metadata"]


def test_labels_and_annotations_of_the_spec_are_beside_those_of_ours() -> None:
    labels = {"cost-centre": "4711", "app.kubernetes.io/instance": "other"}  # the second one is older than its rule

    metadata = _template({"podLabels": labels, "podAnnotations": {"example.com/a": "b"}, "systemPrompt": "Be brief."})["metadata"]

    assert metadata["labels"] == {"cost-centre": "4711", **names.labels("bot")}
    assert metadata["annotations"].keys() == {"example.com/a", names.PROMPT_HASH_ANNOTATION}


def test_probes_are_those_of_the_spec() -> None:
    container = _pod(EVERY_FIELD)["containers"][0]

    found = {
        name: (probe["httpGet"]["path"], probe["periodSeconds"], probe["timeoutSeconds"], probe["failureThreshold"])
        for name, probe in container.items()
        if name.endswith("Probe")
    }
    assert found == {
        "startupProbe": ("/health/live", 2, 2, 120),
        "livenessProbe": ("/health/live", 5, 2, 3),
        "readinessProbe": ("/health/ready", 2, 1, 1),
    }


def test_image_is_pinned_by_the_spec_and_else_the_operators() -> None:
    assert _pod()["containers"][0]["image"] == "general-purpose-chatbot:0.1.0"
    assert _pod({"image": "chat:2"})["containers"][0]["image"] == "chat:2"


@pytest.mark.parametrize(("enabled", "spread"), [(None, True), (True, True), (False, False)])
def test_pods_are_spread_unless_the_spec_says_otherwise(enabled: bool | None, spread: bool) -> None:  # noqa: FBT001
    pod = _pod({"topologySpread": {"enabled": enabled}})

    assert [constraint["topologyKey"] for constraint in pod.get("topologySpreadConstraints", ())] == (
        ["kubernetes.io/hostname", "topology.kubernetes.io/zone"] if spread else []
    )


def test_scheduling_is_passed_on_without_what_the_api_server_would_drop() -> None:
    tolerations = [{"key": "a", "value": ""}, {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}]

    pod = _pod(
        {"scheduling": {"nodeSelector": {"pool": ""}, "tolerations": tolerations, "priorityClassName": "high", "affinity": AFFINITY}}
    )

    assert pod["nodeSelector"] == {"pool": ""}
    assert pod["tolerations"] == [{"key": "a"}, {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}]
    assert pod["priorityClassName"] == "high"
    required: dict[str, Any] = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": []}]}}
    assert pod["affinity"] == {"nodeAffinity": required, "newAffinity": {"kept": [0, "", False, {}]}}
    assert without_nulls(AFFINITY) == pod["affinity"]


def test_what_the_scheduler_is_not_told_is_not_rendered() -> None:
    assert not {"nodeSelector", "tolerations", "affinity", "priorityClassName"} & _pod().keys()
