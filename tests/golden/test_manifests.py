"""The children as YAML that a person can review; `UPDATE_GOLDEN=1 pytest tests/golden` rewrites the files."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from chatbot_operator.crd import render
from chatbot_operator.desired import CHILD_KINDS, desired_state
from chatbot_operator.resource import KIND, ChatbotSpec
from tests.resources import SETTINGS, manifest_of, resource_of
from tests.specs import EVERY_FIELD

FOLDER = Path(__file__).parent / "manifests"
DOCUMENTS: dict[str, list[dict[str, Any]]] = {
    file.stem: list(yaml.safe_load_all(file.read_text())) for file in (Path(__file__).parents[2] / "examples").glob("*.yaml")
}
EXAMPLES = {name: document for name, documents in DOCUMENTS.items() for document in documents if document["kind"] == KIND}
SERVICE_README = Path(__file__).parents[2] / "service" / "README.md"
PROMETHEUS_TRIGGER = {"serverAddress", "query", "threshold"}
"""What KEDA's scaler `prometheus` demands, all else being optional (pkg/scalers/prometheus_scaler.go)."""
RESOURCES = EXAMPLES | {
    "single": manifest_of({"replicas": 1}),
    "closed": manifest_of({"clientAuth": {"mode": "Token"}, "networkPolicy": {"from": [{"podSelector": {}}]}}),
    "every-field": manifest_of(EVERY_FIELD),
}


def _children(name: str) -> tuple[dict[str, Any], ...]:
    manifest = RESOURCES[name]
    metadata = manifest["metadata"]
    resource = resource_of(manifest["spec"], name=metadata["name"], namespace=metadata.get("namespace", "demo"))
    return desired_state(resource, SETTINGS, resource.spec.replicas)


@pytest.mark.parametrize("name", RESOURCES)
def test_children_are_as_reviewed(name: str) -> None:
    text = "---\n".join(render(child) for child in _children(name))

    golden = FOLDER / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text(), "run UPDATE_GOLDEN=1 pytest tests/golden and review the difference"


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(RESOURCES)


@pytest.mark.parametrize("name", RESOURCES)
def test_golden_files_are_the_manifests_themselves(name: str) -> None:
    assert tuple(yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text())) == _children(name)


def test_every_field_and_every_kind_of_child_is_reviewed() -> None:
    fields = {field.alias for field in ChatbotSpec.model_fields.values()}

    assert fields - set(EVERY_FIELD) == {"systemPromptFrom"}  # instead of systemPrompt; reviewed as production
    assert {child["kind"] for child in _children("every-field")} == set(CHILD_KINDS)


@pytest.mark.parametrize("name", ["hpa", "keda"])
def test_autoscaler_of_an_example_is_the_only_one_to_decide(name: str) -> None:
    example, autoscaler = DOCUMENTS[name]

    target = {"apiVersion": example["apiVersion"], "kind": example["kind"], "name": example["metadata"]["name"]}
    assert autoscaler["spec"]["scaleTargetRef"] == target
    assert not {"replicas", "autoscaling"} & example["spec"].keys()


def test_keda_asks_for_what_the_service_exports_and_the_pod_monitor_names_so() -> None:
    example, autoscaler = DOCUMENTS["keda"]
    [trigger] = autoscaler["spec"]["triggers"]
    [(metric, job)] = re.findall(r'^sum\((\w+)\{job="([^"]+)"\}\)$', trigger["metadata"]["query"])

    children = {child["kind"]: child for child in _children("keda")}
    label = children["PodMonitor"]["spec"]["jobLabel"]
    assert job == children["Deployment"]["spec"]["template"]["metadata"]["labels"][label] == example["metadata"]["name"]
    assert f"| `{metric}` | gauge |" in SERVICE_README.read_text()  # a table that is compared with a scrape
    assert (trigger["type"], trigger["metricType"]) == ("prometheus", "AverageValue")
    assert trigger["metadata"].keys() == PROMETHEUS_TRIGGER
