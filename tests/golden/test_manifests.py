"""The children as YAML that a person can review; `UPDATE_GOLDEN=1 pytest tests/golden` rewrites the files."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from chatbot_operator.crd import render
from chatbot_operator.desired import desired_state
from tests.resources import SETTINGS, resource_of

FOLDER = Path(__file__).parent / "manifests"
SPECS: dict[str, dict[str, Any]] = {
    "minimal": {},
    "single": {"replicas": 1},
    "demo": {"upstream": {"baseURL": "http://anthropic-simulator.chatbot-demo.svc:8000"}},
    "full": {
        "replicas": 5,
        "image": f"registry.example.com:5000/team/chat:1.2@sha256:{'a' * 64}",
        "imagePullPolicy": "Always",
        "imagePullSecrets": [{"name": "registry-credentials"}],
        "model": {"name": "claude-opus-5-5", "maxTokens": 4096, "effort": "high"},
        "systemPrompt": "You answer questions about our products.\nBriefly.\n",
        "credentials": {"secretRef": {"name": "team-a-anthropic", "key": "api-key"}},
        "upstream": {"baseURL": "https://gateway.example.com:8443/anthropic"},
        "resources": {"requests": {"cpu": 1, "memory": "256Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}},
        "drain": {"delay": "10s", "timeout": "2m"},
        "service": {"type": "LoadBalancer", "port": 8080, "annotations": {"example.com/scheme": "internal"}},
    },
}


@pytest.mark.parametrize("name", SPECS)
def test_children_are_as_reviewed(name: str) -> None:
    resource = resource_of(SPECS[name], name="general-purpose-chatbot")
    children = desired_state(resource, SETTINGS, resource.spec.replicas)

    text = "---\n".join(render(child) for child in children)

    golden = FOLDER / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text(), "run UPDATE_GOLDEN=1 pytest tests/golden and review the difference"


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(SPECS)


@pytest.mark.parametrize("name", SPECS)
def test_golden_files_are_the_manifests_themselves(name: str) -> None:
    resource = resource_of(SPECS[name], name="general-purpose-chatbot")

    assert tuple(yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text())) == desired_state(resource, SETTINGS, resource.spec.replicas)
