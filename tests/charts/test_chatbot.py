"""The chatbot's chart as Helm renders it: the resource is what is set and nothing else, no key gets in, and how it is tested."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from chatbot_operator.names import INSTANCE_LABEL
from tests.charts.rendering import CHATBOT, ROOT, Manifest, one, refusal, render
from tests.conftest import Simulator
from tests.service.conftest import start_service
from tests.specs import EVERY_FIELD

pytestmark = pytest.mark.programs

ROUND_TRIP = ROOT / "charts" / "chatbot" / "files" / "round_trip.py"


def chatbot(*options: str) -> Manifest:
    return one(render(CHATBOT, *options, release="support"), "ChatbotDeployment")


def hook_pod(*options: str) -> Manifest:
    """Return the spec of the test's pod."""
    spec: Manifest = one(render(CHATBOT, *options, release="support"), "Pod")["spec"]
    return spec


def values_file(folder: Path, name: str, values: dict[str, Any]) -> str:
    file = folder / f"{name}.json"
    file.write_text(json.dumps(values))
    return f"--values={file}"


def test_resource_has_the_release_s_name_and_nothing_that_nobody_set() -> None:
    resource = chatbot()

    assert resource["apiVersion"] == "chatbot.dev/v1alpha1"
    assert (resource["metadata"]["name"], resource["metadata"]["namespace"]) == ("support", "team")
    assert resource["spec"] == {}


def test_every_field_of_the_spec_is_a_value(tmp_path: Path) -> None:
    assert chatbot(values_file(tmp_path, "every", EVERY_FIELD))["spec"] == EVERY_FIELD


@pytest.mark.parametrize("example", ["minimal", "production", "hpa", "keda", "demo"])
def test_examples_are_values(tmp_path: Path, example: str) -> None:
    documents = yaml.safe_load_all((ROOT / "examples" / f"{example}.yaml").read_text())
    spec = next(document["spec"] for document in documents if document["kind"] == "ChatbotDeployment")

    assert chatbot(values_file(tmp_path, example, spec))["spec"] == spec


def test_chart_can_be_a_part_of_another_one(tmp_path: Path) -> None:
    dependency = {"name": CHATBOT, "version": "*", "repository": "", "condition": "chatbot.enabled"}
    (tmp_path / "Chart.yaml").write_text(json.dumps({"apiVersion": "v2", "name": "shop", "version": "1.0.0", "dependencies": [dependency]}))
    shutil.copytree(ROOT / "charts" / CHATBOT, tmp_path / "charts" / CHATBOT)
    values = {"global": {"apiKey": "of another part"}, "chatbot": {"enabled": True, "replicas": 2}}

    resource = one(render(str(tmp_path), values_file(tmp_path, "parent", values), release="shop"), "ChatbotDeployment")

    assert resource["metadata"]["name"] == "shop"
    assert resource["spec"] == {"replicas": 2}


def test_no_replicas_at_all_are_rendered_as_such() -> None:
    assert chatbot("--set=replicas=0")["spec"] == {"replicas": 0}


def test_null_takes_back_what_an_earlier_file_sets(tmp_path: Path) -> None:
    earlier = values_file(tmp_path, "earlier", {"replicas": 5, "image": "registry.example.com/chat:1", "logging": {"level": "debug"}})
    later = values_file(tmp_path, "later", {"replicas": None, "image": None})

    assert chatbot(earlier, later)["spec"] == {"logging": {"level": "debug"}}


def test_large_numbers_stay_integers(tmp_path: Path) -> None:
    options = values_file(tmp_path, "large", {"limits": {"maxRequestBytes": 52428800}})

    assert chatbot(options)["spec"]["limits"]["maxRequestBytes"] == 52428800


def test_labels_and_annotations_are_the_resource_s_own() -> None:
    resource = chatbot("--set=commonLabels.team=chat,commonAnnotations.owner=us,fullnameOverride=helper")

    assert resource["metadata"]["name"] == "helper"
    assert resource["metadata"]["labels"]["team"] == "chat"
    assert resource["metadata"]["annotations"] == {"owner": "us"}
    assert resource["spec"] == {}


@pytest.mark.parametrize("release", ["a.dotted.name", "3-bots", f"a{50 * 'b'}"])
def test_name_that_a_chat_service_cannot_have_is_refused(release: str) -> None:
    said = refusal(CHATBOT, release=release)

    assert f"{release} cannot be the name of a chat service" in said
    assert "set fullnameOverride" in said


@pytest.mark.parametrize(
    "value",
    [
        "apiKey=x",
        "key=x",
        "anthropicApiKey=x",
        "anthropicAPIKey=x",
        "anthropic-api-key=x",
        "ANTHROPIC_API_KEY=x",
        "claudeApiKey=x",
        "credentials.apiKey=x",
        "credentials.anthropicApiKey=x",
        "global.anthropicApiKey=x",
        "env[0].name=ANTHROPIC_API_KEY",
    ],
)
def test_value_that_is_named_like_a_key_is_refused_with_what_to_do_instead(value: str) -> None:
    said = refusal(CHATBOT, f"--set={value}")

    assert "an API key must not be among the values" in said
    assert value.partition("=")[0].partition("[")[0] in said
    assert "kubectl create secret generic chatbot-secrets --namespace=team --from-file=anthropic-api-key=/dev/stdin" in said


@pytest.mark.parametrize("field", ["systemPrompt", "credentials.secretRef.name", "podLabels.key"])
def test_key_is_refused_wherever_it_stands_and_not_repeated(field: str) -> None:
    said = refusal(CHATBOT, f"--set={field}=sk-ant-api03-canary")

    assert "an API key must not be among the values" in said
    assert "canary" not in said


def test_refusal_names_the_secret_that_the_values_name() -> None:
    said = refusal(CHATBOT, "--set=apiKey=x,credentials.secretRef.name=mine,credentials.secretRef.key=key")

    assert "kubectl create secret generic mine --namespace=team --from-file=key=/dev/stdin" in said


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("replica=3", "additional properties 'replica' not allowed"),
        ("replicas=many", "'/replicas': got string, want null or integer"),
        ("replicas=1001", "'/replicas': maximum: got 1,001, want 1,000"),
        ("model.nam=x", "'/model': additional properties 'nam' not allowed"),
        ("model.effort=huge", "'/model/effort': value must be one of"),
        ("upstream.timeouts.idle=soon", "'/upstream/timeouts/idle': 'soon' does not match pattern"),
        ("imagePullSecrets[0].secret=x", "'/imagePullSecrets/0'"),
        ("credentials.secret=x", "'/credentials': additional properties 'secret' not allowed"),
        ("test.pod=x", "'/test': additional properties 'pod' not allowed"),
        ("commonLabels.app\\.kubernetes\\.io/instance=x", "commonLabels must not set app.kubernetes.io/instance"),
    ],
)
def test_wrong_values_are_refused_by_name(option: str, named: str) -> None:
    assert named in refusal(CHATBOT, f"--set={option}")


def test_test_is_a_hook_under_the_restricted_pod_security_standard() -> None:
    manifest, spec = one(render(CHATBOT, release="support"), "Pod"), hook_pod()

    assert manifest["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert spec["restartPolicy"] == "Never"
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_test_fits_a_namespace_whose_quota_wants_every_request_and_limit() -> None:
    resources = hook_pod()["containers"][0]["resources"]

    assert {kind: sorted(amounts) for kind, amounts in resources.items()} == {
        "requests": ["cpu", "memory"],
        "limits": ["cpu", "memory"],
    }


def test_test_asks_by_the_service_s_address_and_port() -> None:
    assert hook_pod()["containers"][0]["command"][-1] == "http://support.team.svc:80"
    assert hook_pod("--set=service.port=8000")["containers"][0]["command"][-1] == "http://support.team.svc:8000"


def test_test_runs_the_chat_service_s_image() -> None:
    version = (ROOT / "VERSION").read_text().strip()
    mirrored = "--set=image=registry.example.com/chat:1"

    assert hook_pod()["containers"][0]["image"] == f"general-purpose-chatbot:{version}"
    assert hook_pod(mirrored)["containers"][0]["image"] == "registry.example.com/chat:1"
    assert hook_pod(mirrored, "--set=test.image=other:2")["containers"][0]["image"] == "other:2"


def test_test_shows_the_client_token_where_one_is_asked_for() -> None:
    def secret(*options: str) -> Any:
        return hook_pod(*options)["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]

    token = "--set=clientAuth.mode=Token"
    assert "env" not in hook_pod()["containers"][0]
    assert secret(token) == {"name": "support-client-token", "key": "tokens"}
    assert secret(token, "--set=clientAuth.secretRef.name=mine,clientAuth.secretRef.key=list") == {"name": "mine", "key": "list"}


def test_test_can_be_left_out_or_labelled() -> None:
    labelled = one(render(CHATBOT, "--set=test.podLabels.app=web"), "Pod")

    assert labelled["metadata"]["labels"]["app"] == "web"
    for left_out in ("--set=test.enabled=false", "--set=test=null"):
        assert [manifest["kind"] for manifest in render(CHATBOT, left_out)] == ["ChatbotDeployment"]


def test_test_is_not_among_the_pods_that_are_selected_by_the_release() -> None:
    manifest = one(render(CHATBOT, release="support"), "Pod")

    assert manifest["metadata"]["labels"][INSTANCE_LABEL] == "support-test"


def round_trip(url: str, *, tokens: str = "") -> subprocess.CompletedProcess[str]:
    command = hook_pod()["containers"][0]["command"]
    assert command[:2] == ["python", "-c"]
    environment = os.environ | {"CLIENT_TOKENS": tokens}
    return subprocess.run([sys.executable, *command[1:-1], url], env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_round_trip_shows_the_first_token_that_the_service_reads(simulator: Simulator, tmp_path: Path) -> None:
    tokens = "# team a\n\n first-token \nsecond-token\n"
    (tmp_path / "tokens").write_text(tokens)

    with start_service(simulator, CLIENT_AUTH_MODE="Token", CLIENT_TOKENS_FILE=f"{tmp_path}/tokens") as service:
        done = round_trip(f"http://127.0.0.1:{service.port}", tokens=tokens)
        nobody = round_trip(f"http://127.0.0.1:{service.port}", tokens="# nobody\n")

    assert (done.returncode, done.stderr) == (0, "")
    assert " answered 401: " in nobody.stderr


def test_round_trip_that_is_refused_says_what_was_answered(simulator: Simulator) -> None:
    done = round_trip(simulator.url)

    assert done.returncode == 1
    assert done.stderr.startswith(f"{simulator.url} answered 404: ")


def test_round_trip_that_reaches_nobody_says_so() -> None:
    done = round_trip("http://127.0.0.1:1")

    assert done.returncode == 1
    assert done.stderr.startswith("http://127.0.0.1:1 gave no answer: ")
    assert len(done.stderr.splitlines()) == 1
