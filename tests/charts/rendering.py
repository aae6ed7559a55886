"""The charts as Helm renders them, each set of options once."""

import functools
import subprocess
from pathlib import Path
from typing import Any

import yaml

from devcluster.binaries import binary

ROOT = Path(__file__).resolve().parents[2]
OPERATOR, CHATBOT = "chatbot-operator", "chatbot"
NAMESPACE = "team"
Manifest = dict[str, Any]


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Helm without a cluster."""
    return subprocess.run([binary("helm"), *arguments], capture_output=True, text=True, timeout=60, check=False)


@functools.cache
def _template(chart: str, release: str, options: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return helm("template", release, str(ROOT / "charts" / chart), f"--namespace={NAMESPACE}", *options)


def rendered(chart: str, *options: str, release: str = "") -> str:
    """Return the YAML of a release, named like the chart unless `release` says otherwise."""
    done = _template(chart, release or chart, options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(chart: str, *options: str, release: str = "") -> list[Manifest]:
    """Return the objects of a release."""
    return [document for document in yaml.load_all(rendered(chart, *options, release=release), yaml.CSafeLoader) if document]


def refusal(chart: str, *options: str, release: str = "") -> str:
    """Return why the chart cannot be rendered with these options; fail when it can be."""
    done = _template(chart, release or chart, options)
    assert done.returncode != 0, f"rendered with {options}"
    return done.stderr


def notes(chart: str, *options: str) -> str:
    """Return what Helm says after an installation."""
    done = helm("install", chart, str(ROOT / "charts" / chart), f"--namespace={NAMESPACE}", "--dry-run=client", *options)
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("\nNOTES:\n")[2]


def one(manifests: list[Manifest], kind: str) -> Manifest:
    """Return the only object of a kind."""
    found = of_kind(manifests, kind)
    assert len(found) == 1, f"{len(found)} of kind {kind}"
    return found[0]


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    """Return the objects of these kinds."""
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def pod(manifests: list[Manifest]) -> Manifest:
    """Return the spec of the operator's pods."""
    spec: Manifest = one(manifests, "Deployment")["spec"]["template"]["spec"]
    return spec


def environment(manifests: list[Manifest]) -> dict[str, Any]:
    """Return the variables of the operator's container."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in pod(manifests)["containers"][0]["env"]}
