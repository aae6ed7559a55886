"""Argo CD's side: how the script gets where Argo CD looks for it, and that it runs there with what Argo CD lets it use."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from chatbot_operator.resource import GROUP, KIND
from devcluster import binaries
from devcluster.controlplane import ControlPlane
from tests.api.agreement.health import SCRIPT, health
from tests.resources import manifest_of

pytestmark = pytest.mark.api

ROOT = SCRIPT.parents[2]
SETTINGS = {"timeout.reconciliation": "180s"}


@pytest.fixture
def settings_of_argocd(control_plane: ControlPlane) -> Iterator[None]:
    """The namespace and the ConfigMap of an installed Argo CD, with a setting of its owner's."""
    control_plane.kubectl("create", "namespace", "argocd")
    values = [f"--from-literal={name}={value}" for name, value in SETTINGS.items()]
    control_plane.kubectl("create", "configmap", "argocd-cm", "--namespace=argocd", *values)
    yield
    control_plane.kubectl("delete", "namespace", "argocd", "--wait=false")


def _documented_command() -> str:
    lines = [line.removeprefix("--").strip() for line in SCRIPT.read_text().splitlines() if line.startswith("--   ")]
    return "\n".join(lines)


def test_documented_command_adds_the_script_and_keeps_the_rest(
    control_plane: ControlPlane, settings_of_argocd: None, tmp_path: Path
) -> None:
    (tmp_path / "kubectl").symlink_to(binaries.binary("kubectl"))
    environment = os.environ | {"KUBECONFIG": str(control_plane.kubeconfig), "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    for _ in range(2):  # also for a script that is there already
        subprocess.run(["bash", "-euo", "pipefail", "-c", _documented_command()], check=True, cwd=ROOT, env=environment, timeout=60)

    found = yaml.safe_load(control_plane.kubectl("get", "configmap", "argocd-cm", "--namespace=argocd", "--output=yaml"))
    assert found["data"] == SETTINGS | {f"resource.customizations.health.{GROUP}_{KIND}": SCRIPT.read_text()}


@pytest.mark.parametrize("library", ["string", "math", "io", "debug"])
def test_script_runs_without_the_libraries_that_argo_cd_withholds(tmp_path: Path, library: str) -> None:
    (tmp_path / "health.lua").write_text(f'local unused = {library}.format\nreturn {{ status = "Healthy" }}')

    with health(tmp_path / "health.lua") as both:
        seen = both.verdict(manifest_of())

    assert seen.argo == "Unknown"
    assert "attempt to index a non-table object(nil)" in seen.message
