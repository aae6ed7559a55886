"""Names that YAML would read as something else, and those that stay whatever the chart is called."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.rendering import CHATBOT, OPERATOR, ROOT, environment, of_kind, one, pod, refusal, render, rendered

pytestmark = pytest.mark.programs

EVERYTHING = "--set=monitoring.serviceMonitor.enabled=true,monitoring.rules.enabled=true,monitoring.dashboards.enabled=true"
NAMES = {"name", "namespace", "serviceAccountName", "policyName", "app.kubernetes.io/instance"}


def names(value: Any) -> Iterator[Any]:
    """Yield every name in an object, of whatever type it is."""
    if isinstance(value, dict):
        yield from (part for field, part in value.items() if field in NAMES and not isinstance(part, dict))
        yield from (name for part in value.values() for name in names(part))
    elif isinstance(value, list):
        yield from (name for part in value for name in names(part))


@pytest.mark.parametrize("name", ["2024", "null", "on"])
def test_operator_s_release_and_namespaces_may_be_called_like_a_number_or_a_constant(name: str) -> None:
    watched = f"--set-string=watchNamespaces={{{name}}}"
    objects = render(OPERATOR, EVERYTHING, watched, "--set=fullnameOverride=operator", f"--namespace={name}", release=name)

    assert [found for found in names(objects) if not isinstance(found, str)] == []
    assert {part["metadata"]["namespace"] for part in objects if "namespace" in part["metadata"]} == {name}
    assert {part["metadata"]["labels"]["app.kubernetes.io/instance"] for part in objects} == {name}
    assert environment(objects)["OPERATOR_WATCH_NAMESPACES"] == name


@pytest.mark.parametrize("name", ["null", "on"])
def test_chatbot_s_release_and_namespace_may_be_called_like_a_constant(name: str) -> None:
    objects = render(CHATBOT, "--set=clientAuth.mode=Token", f"--namespace={name}", release=name)

    assert [found for found in names(objects) if not isinstance(found, str)] == []
    assert one(objects, "ChatbotDeployment")["metadata"]["name"] == one(objects, "ChatbotDeployment")["metadata"]["namespace"] == name


def test_names_of_objects_may_be_those_of_constants() -> None:
    manifests = render(OPERATOR, EVERYTHING, "--set-string=fullnameOverride=null,priorityClassName=on")

    assert one(manifests, "Deployment")["metadata"]["name"] == environment(manifests)["OPERATOR_LEASE_NAME"] == "null"
    assert pod(manifests)["serviceAccountName"] == "null"
    assert pod(manifests)["priorityClassName"] == "on"
    assert [found for found in names(manifests) if found is None] == []


@pytest.mark.parametrize("release", ["2nd", "my.bots"])
def test_name_that_a_service_cannot_have_is_refused_where_there_is_one(release: str) -> None:
    assert one(render(OPERATOR, release=release), "Deployment")["metadata"]["name"] == f"{release}-chatbot-operator"
    assert f"{release}-chatbot-operator is not, set fullnameOverride" in refusal(OPERATOR, EVERYTHING, release=release)


@pytest.mark.parametrize("chart", [OPERATOR, CHATBOT])
def test_version_of_a_build_can_stand_in_labels_and_tags(tmp_path: Path, chart: str) -> None:
    copied = shutil.copytree(ROOT / "charts" / chart, tmp_path / chart)
    described = yaml.safe_load((copied / "Chart.yaml").read_text())
    (copied / "Chart.yaml").write_text(json.dumps(described | {"version": "1.2.3+build.7", "appVersion": "1.2.3+build.7"}))

    text = rendered(str(copied), release="bots")

    assert "1.2.3+" not in text
    assert "general-purpose-chatbot:1.2.3_build.7" in text


def test_operator_is_known_to_the_chat_pods_under_an_alias_of_the_chart(tmp_path: Path) -> None:
    """Their network policies admit it by this label, and Prometheus' configuration keeps it by it."""
    dependency = {"name": OPERATOR, "version": "*", "repository": "", "alias": "bots"}
    parent = {"apiVersion": "v2", "name": "platform", "version": "1.0.0", "dependencies": [dependency]}
    (tmp_path / "Chart.yaml").write_text(json.dumps(parent))
    shutil.copytree(ROOT / "charts" / OPERATOR, tmp_path / "charts" / OPERATOR)

    manifests = render(str(tmp_path), "--set=bots.monitoring.serviceMonitor.enabled=true", release="platform")

    template = one(manifests, "Deployment")["spec"]["template"]
    assert one(manifests, "Deployment")["metadata"]["name"] == "platform-bots"
    for labels in (template["metadata"]["labels"], one(manifests, "Service")["spec"]["selector"]):
        assert labels["app.kubernetes.io/name"] == OPERATOR
    assert of_kind(manifests, "NetworkPolicy")[0]["spec"]["podSelector"] == one(manifests, "Deployment")["spec"]["selector"]
