"""docs/installing.md where it takes a registry: what its command makes of the simulator's manifest, with kubectl left out."""

import subprocess

import yaml

from tests.docs.pages import DOCS, ROOT, blocks

NAME = "test_the_simulator_comes_from_a_registry_of_ones_own"


def test_the_simulator_comes_from_a_registry_of_ones_own() -> None:
    (block,) = (block for block in blocks(DOCS / "installing.md") if NAME in block.said)
    version = (ROOT / "VERSION").read_text().strip()

    script = "kubectl() { if [[ $* == *=- ]]; then cat; fi; }\n" + block.text
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    deployment, service = yaml.safe_load_all(done.stdout)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"registry.example.com/chatbots/anthropic-simulator:{version}"
    assert service["kind"] == "Service"
