"""docs/installing.md where it takes a registry: what its commands make of the manifests, with kubectl left out."""

import subprocess
from typing import Any

import pytest
import yaml

from tests.docs.pages import DOCS, ROOT, blocks

REGISTRY = "registry.example.com/chatbots"


def applied_by(test: str) -> dict[str, dict[str, Any]]:
    """Return what the block that is said to be run by a test hands to kubectl on its standard input, by kind."""
    (block,) = (block for block in blocks(DOCS / "installing.md") if f"::{test}" in block.said)
    script = "kubectl() { if [[ $* == *=- ]]; then cat; fi; }\n" + block.text
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return {manifest["kind"]: manifest for manifest in yaml.safe_load_all(done.stdout)}


def image(deployment: dict[str, Any]) -> str:
    """Return the image of its one container."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    name: str = container["image"]
    return name


@pytest.fixture(scope="module")
def version() -> str:
    return (ROOT / "VERSION").read_text().strip()


def test_the_simulator_comes_from_a_registry_of_ones_own(version: str) -> None:
    manifests = applied_by("test_the_simulator_comes_from_a_registry_of_ones_own")

    assert image(manifests["Deployment"]) == f"{REGISTRY}/anthropic-simulator:{version}"
    assert manifests.keys() == {"Deployment", "Service"}


def test_the_plain_manifest_takes_its_image_from_a_registry_of_ones_own(version: str) -> None:
    manifests = applied_by("test_the_plain_manifest_takes_its_image_from_a_registry_of_ones_own")

    assert image(manifests["Deployment"]) == f"{REGISTRY}/general-purpose-chatbot:{version}"
    assert manifests.keys() == {"ServiceAccount", "Service", "NetworkPolicy", "Deployment", "PodDisruptionBudget"}
