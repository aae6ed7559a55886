"""What the charts render is what this very API server takes: checked by kubeconform against its own schemas, and by the server."""

import json
import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from chatbot_operator.resource import API_VERSION, KIND
from devcluster.binaries import binary
from devcluster.controlplane import ControlPlane, KubectlFailed
from tests.api.dry_run import DryRun, RefusedError
from tests.api.schemas import LOCATION, write_schemas
from tests.charts.rendering import CHATBOT, OPERATOR, ROOT, Manifest, render, rendered
from tests.charts.test_chatbot_operator import EXTRAS
from tests.specs import EVERY_FIELD
from tests.waiting import wait_until

pytestmark = pytest.mark.api

FOREIGN = "PrometheusRule,ServiceMonitor"
"""Kinds of the Prometheus operator, which this API server does not serve."""

MONITORING = "--set=monitoring.serviceMonitor.enabled=true,monitoring.rules.enabled=true,monitoring.dashboards.enabled=true"


@pytest.fixture(scope="module")
def schemas(control_plane_with_crd: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schemas")
    write_schemas(control_plane_with_crd, folder)
    return folder


@pytest.fixture(scope="module")
def namespaces(control_plane_with_crd: ControlPlane) -> Iterator[list[str]]:
    """Two namespaces, of which the first is the releases' own."""
    names = [f"charts-{uuid.uuid4().hex[:6]}" for _ in range(2)]
    for name in names:
        control_plane_with_crd.kubectl("create", "namespace", name)
    yield names
    control_plane_with_crd.kubectl("delete", "namespace", *names, "--wait=false")


def values_file(folder: Path, values: Manifest) -> str:
    """Return the option of a file of its own with these values."""
    file = folder / f"{len(list(folder.iterdir()))}.json"
    file.write_text(json.dumps(values))
    return f"--values={file}"


def conform(schemas: Path, manifests: str) -> str:
    """Return what kubeconform has against these objects."""
    done = subprocess.run(
        [binary("kubeconform"), "-strict", "-summary", f"-skip={FOREIGN}", f"-schema-location={schemas}/{LOCATION}"],
        input=manifests,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert f"{len(re.findall('^apiVersion:', manifests, re.MULTILINE))} resources found" in done.stdout, done.stdout + done.stderr
    return "" if done.returncode == 0 else done.stdout + done.stderr


def server_refusal(plane: ControlPlane, manifests: list[Manifest]) -> str:
    """Return what the API server has against these objects; nothing is stored."""
    served = yaml.safe_dump_all(manifest for manifest in manifests if manifest["kind"] not in FOREIGN.split(","))
    try:
        plane.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "--filename=-", input=served)
    except KubectlFailed as refused:
        return str(refused)
    return ""


def test_operator_s_chart_conforms(schemas: Path, namespaces: list[str], control_plane_with_crd: ControlPlane, tmp_path: Path) -> None:
    everything = values_file(tmp_path, EXTRAS | {"watchNamespaces": namespaces})
    for options in ((), (everything, MONITORING)):
        release = (OPERATOR, f"--namespace={namespaces[0]}", *options)

        assert conform(schemas, rendered(*release)) == ""
        assert server_refusal(control_plane_with_crd, render(*release)) == ""


def test_chatbot_s_chart_conforms(schemas: Path, namespaces: list[str], control_plane_with_crd: ControlPlane, tmp_path: Path) -> None:
    production = yaml.safe_load((ROOT / "examples" / "production.yaml").read_text())["spec"]
    for spec in ({}, EVERY_FIELD, production):
        release = (CHATBOT, f"--namespace={namespaces[0]}", values_file(tmp_path, spec))

        assert conform(schemas, rendered(*release)) == ""
        assert server_refusal(control_plane_with_crd, render(*release)) == ""


def test_policy_of_a_release_covers_the_namespaces_that_it_looks_after(namespaces: list[str], control_plane_with_crd: ControlPlane) -> None:
    release = f"policy-{namespaces[0]}"
    options = ("--show-only=templates/admission.yaml", f"--set=watchNamespaces={{{namespaces[0]}}}")
    control_plane_with_crd.kubectl("apply", "--server-side", "--filename=-", input=rendered(OPERATOR, *options, release=release))
    gateway = {"spec": {"upstream": {"baseURL": "https://gateway.example.com"}}}
    chatbot = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "bot"}, **gateway}

    def refusal(namespace: str) -> str:
        with DryRun.of(control_plane_with_crd, namespace=namespace) as dry_run:
            try:
                dry_run.create(chatbot)
            except RefusedError as refused:
                return str(refused)
        return ""

    try:
        wait_until(lambda: refusal(namespaces[0]), lambda said: "must not send requests to https://gateway.example.com" in said)
        assert refusal(namespaces[1]) == ""
    finally:
        control_plane_with_crd.kubectl("delete", "--filename=-", input=rendered(OPERATOR, *options, release=release))


def test_check_finds_what_does_not_conform(schemas: Path) -> None:
    manifests = render(OPERATOR)
    deployment = next(manifest for manifest in manifests if manifest["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["imagePolicy"] = "Always"

    assert "imagePolicy" in conform(schemas, yaml.safe_dump_all(manifests))
