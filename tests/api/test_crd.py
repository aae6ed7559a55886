"""What a real API server takes and what it refuses, and that a refusal names the field and what is wrong with it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings

from chatbot_operator.crd import build_crd
from chatbot_operator.resource import KIND, ChatbotDeployment, ChatbotSpec, Manifest
from devcluster.controlplane import ControlPlane, KubectlFailed
from tests.api.definitions import install
from tests.api.dry_run import DryRun, RefusedError
from tests.resources import manifest_of
from tests.specs import described_examples, specs
from tests.waiting import wait_until

pytestmark = pytest.mark.api

TABLES = Path(__file__).parent / "crd"
ACCEPTED: dict[str, Manifest] = yaml.safe_load((TABLES / "accepted.yaml").read_text(encoding="utf-8"))
REFUSED: dict[str, Manifest] = yaml.safe_load((TABLES / "refused.yaml").read_text(encoding="utf-8"))
LARGEST: dict[str, Manifest] = {
    "prompt of exactly 32 KiB": {"systemPrompt": "é" * 16_384},
    "annotations": {"service": {"annotations": {f"k{index}": "x" * 4096 for index in range(32)}}},
    "variables": {"env": [{"name": f"V{index}", "value": "x" * 4096} for index in range(64)]},
}
TOO_LARGE: dict[str, tuple[Manifest, str]] = {
    "prompt of too many bytes": ({"systemPrompt": "é" * 16_385}, "must not exceed 32768 bytes"),
    "prompt of too many characters": ({"systemPrompt": "x" * 32_769}, "spec.systemPrompt"),
    "too many annotations": ({"service": {"annotations": {f"k{index}": "" for index in range(33)}}}, "spec.service.annotations"),
    "too many variables": ({"env": [{"name": f"V{index}"} for index in range(65)]}, "spec.env"),
    "too many peers": ({"networkPolicy": {"from": [{"podSelector": {}}] * 17}}, "spec.networkPolicy.from"),
}
EXAMPLES_FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = [
    document
    for file in sorted(EXAMPLES_FOLDER.glob("*.yaml"))
    for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))
    if document["kind"] == KIND
]
REFUSED_NAMES = ("3bot", "3bot.x", "bot.x", "b" * 51)


@pytest.fixture(scope="module")
def dry_run(control_plane_with_crd: ControlPlane) -> Iterator[DryRun]:
    with DryRun.of(control_plane_with_crd) as dry_run:
        yield dry_run


@pytest.mark.parametrize("spec", (ACCEPTED | LARGEST).values(), ids=(ACCEPTED | LARGEST).keys())
def test_accepts(dry_run: DryRun, spec: Manifest) -> None:
    created = dry_run.create(manifest_of(spec))

    assert _holds(created["spec"], spec)  # nothing was pruned or rewritten


def _holds(whole: object, part: object) -> bool:
    """Say whether `part` stands in `whole`, which may have more keys: defaults."""
    if isinstance(whole, dict) and isinstance(part, dict):
        return all(key in whole and _holds(whole[key], value) for key, value in part.items())
    if isinstance(whole, list) and isinstance(part, list):
        return len(whole) == len(part) and all(map(_holds, whole, part))
    return whole == part


@pytest.mark.parametrize(
    ("spec", "message"),
    [*((row["spec"], row["error"]) for row in REFUSED.values()), *TOO_LARGE.values()],
    ids=[*REFUSED.keys(), *TOO_LARGE.keys()],
)
def test_refuses(dry_run: DryRun, spec: Manifest, message: str) -> None:
    with pytest.raises(RefusedError) as caught:
        dry_run.create(manifest_of(spec))

    assert message in str(caught.value)
    assert "evaluating rule" not in str(caught.value)  # a rule that breaks on a value says nothing to a person


@given(spec=specs)
@settings(max_examples=2000 if os.environ.get("SOAK") else 100)
def test_accepts_any_spec_that_the_tests_make(dry_run: DryRun, spec: Manifest) -> None:
    assert _holds(dry_run.create(manifest_of(spec))["spec"], spec)


@pytest.mark.parametrize("document", EXAMPLES, ids=lambda document: document["metadata"]["name"])
def test_accepts_the_examples(dry_run: DryRun, document: Manifest) -> None:
    assert _holds(dry_run.create(document)["spec"], document["spec"])


@pytest.fixture(scope="module")
def scaled_objects(control_plane_with_crd: ControlPlane) -> Iterator[None]:
    """The kind ScaledObject, as KEDA would bring it."""
    definition = (TABLES / "scaledobjects.yaml").read_text(encoding="utf-8")
    install(control_plane_with_crd, definition)
    yield
    control_plane_with_crd.kubectl("delete", "--filename=-", input=definition)


@pytest.mark.usefixtures("scaled_objects")
@pytest.mark.parametrize("example", ["hpa", "keda"])
def test_accepts_the_autoscaler_of_the_example(dry_run: DryRun, example: str) -> None:
    autoscaler = list(yaml.safe_load_all((EXAMPLES_FOLDER / f"{example}.yaml").read_text(encoding="utf-8")))[1]
    autoscaler["metadata"]["namespace"] = "default"

    assert _holds(dry_run.apply(autoscaler)["spec"], autoscaler["spec"])
    with pytest.raises(RefusedError, match="sleeps"):
        dry_run.apply(autoscaler | {"spec": autoscaler["spec"] | {"sleeps": True}})


@pytest.mark.parametrize("spec", list(described_examples(ChatbotSpec)), ids=str)
def test_accepts_the_examples_of_the_descriptions(dry_run: DryRun, spec: Manifest) -> None:
    assert _holds(dry_run.create(manifest_of(spec))["spec"], spec)


@pytest.mark.parametrize("name", REFUSED_NAMES)
def test_refuses_a_name_that_no_service_could_have(dry_run: DryRun, name: str) -> None:
    with pytest.raises(RefusedError, match=r"metadata\.name names a Service: at most 50 lower-case letters"):
        dry_run.create(manifest_of(name=name))


def test_accepts_the_longest_name(dry_run: DryRun) -> None:
    assert dry_run.create(manifest_of(name="b" * 50))["metadata"]["name"] == "b" * 50


def test_spec_is_required(dry_run: DryRun) -> None:
    manifest = manifest_of()
    del manifest["spec"]

    with pytest.raises(RefusedError, match="spec: Required value"):
        dry_run.create(manifest)


def test_unknown_fields_are_pruned_where_nobody_asks_for_more(dry_run: DryRun) -> None:
    spec = {"replica": 3, "model": {"nme": "a"}, "scheduling": {"affinity": {"newAffinity": {"kept": True}}}}

    created = dry_run.create(manifest_of(spec), unknown_fields="Ignore")["spec"]

    assert "replica" not in created
    assert "nme" not in created["model"]
    assert created["scheduling"] == {"affinity": {"newAffinity": {"kept": True}}}  # its shape is the cluster's, not ours


def test_older_resource_may_break_newer_rules_until_it_changes_there(control_plane: ControlPlane, namespace: str) -> None:
    older = manifest_of({"replicas": 1001}, namespace=namespace) | {"apiVersion": "older.test/v1alpha1", "kind": "Older"}
    create = ("create", f"--namespace={namespace}", "--filename=-")
    patch = ("patch", f"--namespace={namespace}", "older/bot", "--type=merge")
    too_many = (*patch, '--patch={"spec":{"replicas":1002}}', "--dry-run=server")
    _serve_older(control_plane, most_replicas=9999)
    # What kubectl knows of kinds lags behind the CRD.
    wait_until(lambda: _refusal(control_plane, *create, input=json.dumps(older)), lambda refusal: not refusal)
    _serve_older(control_plane, most_replicas=1000)
    wait_until(lambda: _refusal(control_plane, *too_many), lambda refusal: "spec.replicas" in refusal)

    control_plane.kubectl(*patch, "--subresource=status", '--patch={"status":{"observedGeneration":1,"state":"Ready"}}')
    control_plane.kubectl(*patch, '--patch={"spec":{"model":{"maxTokens":99}}}')

    stored = json.loads(control_plane.kubectl("get", f"--namespace={namespace}", "older/bot", "--output=json"))
    spec = ChatbotDeployment.from_manifest(stored).spec
    assert (stored["status"]["state"], spec.replicas, spec.model.max_tokens) == ("Ready", 1001, 99)


def _serve_older(control_plane: ControlPlane, *, most_replicas: int) -> None:
    """Serve the resource under another name, with another bound of replicas."""
    crd = build_crd()
    crd["metadata"]["name"] = "olders.older.test"
    crd["spec"]["group"] = "older.test"
    crd["spec"]["names"] = {"kind": "Older", "listKind": "OlderList", "plural": "olders", "singular": "older"}
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["replicas"]["maximum"] = most_replicas
    install(control_plane, json.dumps(crd))


def _refusal(control_plane: ControlPlane, *arguments: str, input: str | None = None) -> str:  # noqa: A002  # as kubectl's
    """Return what kubectl complains of, or nothing."""
    try:
        control_plane.kubectl(*arguments, input=input)
    except KubectlFailed as error:
        return str(error)
    return ""
