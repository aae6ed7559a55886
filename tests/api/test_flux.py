"""`deploy/flux/chatbots.yaml` is what Flux's own definitions take, by an API server, and what the operator's chart takes as values."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from devcluster.controlplane import ControlPlane, KubectlFailed
from tests.api.definitions import install
from tests.charts.rendering import OPERATOR, ROOT, Manifest, one, render
from tests.docs.pages import DOCS, blocks

pytestmark = pytest.mark.api

DEFINITIONS = sorted((Path(__file__).parent / "flux").glob("*.yaml"))
NAMESPACE = "flux-system"
EXAMPLE: dict[str, Manifest] = {
    manifest["kind"]: manifest for manifest in yaml.safe_load_all((ROOT / "deploy/flux/chatbots.yaml").read_text(encoding="utf-8"))
}
RELEASE, FOLDER = EXAMPLE["HelmRelease"]["spec"], EXAMPLE["Kustomization"]["spec"]


@pytest.fixture(scope="module")
def flux(control_plane_with_crd: ControlPlane) -> Iterator[ControlPlane]:
    """The API server with Flux's kinds and its namespace, but none of its controllers."""
    for definition in DEFINITIONS:
        install(control_plane_with_crd, definition.read_text())
    control_plane_with_crd.kubectl("create", "namespace", NAMESPACE)
    yield control_plane_with_crd
    control_plane_with_crd.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    for definition in DEFINITIONS:
        control_plane_with_crd.kubectl("delete", f"--filename={definition}")


def refusal(plane: ControlPlane, manifest: Manifest) -> str:
    """Return what the API server has against an object; nothing is stored."""
    try:
        plane.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-", input=json.dumps(manifest))
    except KubectlFailed as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize("kind", EXAMPLE)
def test_flux_s_definition_takes_it_and_no_field_that_it_does_not_know(flux: ControlPlane, kind: str) -> None:
    unknown = EXAMPLE[kind] | {"spec": EXAMPLE[kind]["spec"] | {"waits": True}}

    assert refusal(flux, EXAMPLE[kind]) == ""
    assert "waits" in refusal(flux, unknown)


def test_the_chart_is_there_and_takes_the_values(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(RELEASE["values"]))

    deployment = one(render(OPERATOR, f"--values={values}", release=RELEASE["releaseName"]), "Deployment")

    assert EXAMPLE["GitRepository"]["spec"]["ref"]["tag"] == f"v{(ROOT / 'VERSION').read_text(encoding='utf-8').strip()}"
    assert RELEASE["chart"]["spec"]["chart"] == f"charts/{OPERATOR}"
    assert RELEASE["chart"]["spec"]["sourceRef"]["name"] == EXAMPLE["GitRepository"]["metadata"]["name"]
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"].startswith(RELEASE["values"]["image"]["repository"])


def test_chat_services_are_waited_for_by_their_status() -> None:
    assert (FOLDER["wait"], FOLDER["prune"]) == (True, True)


def test_who_applies_for_others_is_exempt_as_the_page_says() -> None:
    (page,) = (
        yaml.safe_load(block.text)["admission"]
        for block in blocks(DOCS / "installing.md")
        if block.language == "yaml" and "exemptServiceAccounts" in block.text
    )
    ours = [account for account in page["exemptServiceAccounts"] if account.startswith(f"{NAMESPACE}:")]

    assert RELEASE["values"]["admission"]["exemptServiceAccounts"] == ours
