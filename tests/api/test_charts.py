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
from tests.api.definitions import install, monitoring_definition
from tests.api.dry_run import DryRun, RefusedError
from tests.api.schemas import LOCATION, write_schemas
from tests.charts.rendering import CHATBOT, OPERATOR, ROOT, Manifest, render, rendered
from tests.charts.test_chatbot_operator import DIGEST, EXTRAS, MONITORING
from tests.specs import EVERY_FIELD
from tests.waiting import wait_until

pytestmark = pytest.mark.api

FOREIGN = {"prometheusrules": "PrometheusRule", "servicemonitors": "ServiceMonitor"}
"""Kinds of the Prometheus operator."""

CHOICES: list[Manifest] = [
    {
        "image": {"tag": "1.2.3", "digest": DIGEST},
        "serviceImage": {"tag": "1.2.3", "digest": DIGEST},
        "podDisruptionBudget": {"maxUnavailable": "25%"},
        "networkPolicy": {"metricsFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
        "resources": {"limits": None},
    },
    {
        "crds": {"create": False},
        "rbac": {"create": False, "aggregateRoles": False},
        "serviceAccount": {"create": False, "name": "my.own"},
        "admission": {"allowedBaseURLs": [], "exemptServiceAccounts": ["gitops:agent"]},
        "replicaCount": 3,
        "podDisruptionBudget": {"minAvailable": "50%"},
    },
    {"podDisruptionBudget": {"minAvailable": 1}, "networkPolicy": {"enabled": False}, "monitoring": {"rules": {"enabled": True}}},
]
"""What people choose instead of the defaults, apart from additions."""


@pytest.fixture(scope="module")
def foreign_kinds(control_plane_with_crd: ControlPlane) -> Iterator[None]:
    definitions = [monitoring_definition(plural) for plural in FOREIGN]
    for definition in definitions:
        install(control_plane_with_crd, definition)
    yield
    for definition in definitions:
        control_plane_with_crd.kubectl("delete", "--filename=-", input=definition)


@pytest.fixture(scope="module")
def schemas(control_plane_with_crd: ControlPlane, foreign_kinds: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schemas")
    wait_until(lambda: write_schemas(control_plane_with_crd, folder), lambda kinds: kinds >= {*FOREIGN.values()}, what="their schemas")
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
        [binary("kubeconform"), "-strict", "-summary", f"-schema-location={schemas}/{LOCATION}"],
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
    dry_run = ("--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict")
    try:
        plane.kubectl("apply", *dry_run, "--filename=-", input=yaml.safe_dump_all(manifests))
    except KubectlFailed as refused:
        return str(refused)
    return ""


def test_operator_s_chart_conforms(schemas: Path, namespaces: list[str], control_plane_with_crd: ControlPlane, tmp_path: Path) -> None:
    everything = values_file(tmp_path, EXTRAS | {"watchNamespaces": namespaces})
    for options in ((), (everything, MONITORING), *((values_file(tmp_path, values),) for values in CHOICES)):
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


@pytest.mark.parametrize("role", ["edit", "admin"])
def test_who_may_edit_a_namespace_may_edit_its_chatbots_and_who_may_view_it_sees_them(
    namespaces: list[str], control_plane_with_crd: ControlPlane, role: str
) -> None:
    namespace, options = namespaces[1], ("--show-only=templates/aggregate-roles.yaml",)
    aggregated = rendered(OPERATOR, *options, release=f"roles-{namespace}")
    bot = json.dumps({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": role}, "spec": {"replicas": 1}})

    def run(user: str, *arguments: str, stdin: str | None = None) -> str:
        try:
            return control_plane_with_crd.kubectl(*arguments, f"--as={user}-{role}", f"--namespace={namespace}", input=stdin)
        except KubectlFailed as refused:
            return str(refused)

    control_plane_with_crd.kubectl("apply", "--server-side", "--filename=-", input=aggregated)
    try:
        for user, bound in {"editor": role, "viewer": "view"}.items():
            binding = ("rolebinding", f"{user}-{role}", f"--clusterrole={bound}", f"--user={user}-{role}", f"--namespace={namespace}")
            control_plane_with_crd.kubectl("create", *binding)
        wait_until(lambda: run("editor", "create", "--filename=-", stdin=bot), lambda said: said.endswith(f"/{role} created\n"))

        assert run("editor", "scale", f"chatbot/{role}", "--replicas=5").endswith("scaled\n")
        assert wait_until(lambda: run("viewer", "get", f"chatbot/{role}", "--output=jsonpath={.spec.replicas}"), lambda said: said == "5")
        assert 'cannot patch resource "chatbotdeployments/scale"' in run("viewer", "scale", f"chatbot/{role}", "--replicas=1")
        assert 'cannot patch resource "chatbotdeployments/status"' in run(
            "editor", "patch", "chatbot", role, "--subresource=status", "--type=merge", '--patch={"status": {"summary": "Fine."}}'
        )
        assert run("editor", "delete", "chatbot", role).startswith("chatbotdeployment")
    finally:
        control_plane_with_crd.kubectl("delete", "--filename=-", input=aggregated)


def test_check_finds_what_does_not_conform(schemas: Path) -> None:
    manifests = {manifest["kind"]: manifest for manifest in render(OPERATOR, MONITORING)}
    manifests["Deployment"]["spec"]["template"]["spec"]["containers"][0]["imagePolicy"] = "Always"
    manifests["PrometheusRule"]["spec"]["groups"][0]["rules"][0]["exp"] = "up"
    manifests["ServiceMonitor"]["spec"]["endpoints"][0]["interval"] = "soon"

    said = conform(schemas, yaml.safe_dump_all(manifests.values()))

    assert all(wrong in said for wrong in ("imagePolicy", "'exp'", "interval"))
