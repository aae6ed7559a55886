"""docs/monitoring.md: what its values and its command make of a release whose images come from a registry of one's own."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster.binaries import binary
from tests.docs.pages import DOCS, ROOT, blocks

pytestmark = pytest.mark.programs

TEST = "test_the_command_keeps_the_images_and_switches_all_of_it_on"


def first_values(page: str) -> dict[str, Any]:
    """Return the values in a page's first block of YAML."""
    values: dict[str, Any] = yaml.safe_load(next(block.text for block in blocks(DOCS / f"{page}.md") if block.language == "yaml"))
    return values


def test_the_command_keeps_the_images_and_switches_all_of_it_on(tmp_path: Path) -> None:
    """`helm template` stands for `helm upgrade --wait`, which takes a cluster."""
    (block,) = (block for block in blocks(DOCS / "monitoring.md") if f"::{TEST}" in block.said)
    images = first_values("installing")
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(images | first_values("monitoring")))
    (tmp_path / "charts").symlink_to(ROOT / "charts")

    script = f'helm() {{ [[ $1 == upgrade ]]; "{binary("helm")}" template "${{@:2:$#-2}}"; }}\n{block.text}'
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    manifests = [manifest for manifest in yaml.load_all(done.stdout, yaml.CSafeLoader) if manifest]
    (deployment,) = (manifest for manifest in manifests if manifest["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    dashboards = [manifest for manifest in manifests if "grafana_dashboard" in manifest["metadata"].get("labels", {})]
    assert container["image"].startswith(f"{images['image']['repository']}:")
    assert {"ServiceMonitor", "PrometheusRule"} <= {manifest["kind"] for manifest in manifests}
    assert len(dashboards) == 2
