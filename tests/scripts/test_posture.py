"""bandit and checkov as `make scan` runs them: what is planted beside our own files is all that they find."""

import json
from pathlib import Path

import pytest

from scripts.scan import bandit, checkov

pytestmark = pytest.mark.programs

PRIVILEGED = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "planted", "namespace": "default"},
    "spec": {"containers": [{"name": "planted", "image": "planted:1", "securityContext": {"privileged": True}}]},
}


def test_bandit_finds_a_shell_that_is_planted_and_nothing_in_the_distributions(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("import subprocess\nsubprocess.call(input(), shell=True)\n")

    report = bandit.scan(planted)

    assert [finding.split()[1] for finding in report.findings] == ["B602"]
    assert report.findings[0].startswith(f"{planted}:2: ")


def test_checkov_finds_a_privileged_pod_that_is_planted_and_nothing_in_the_images_and_manifests(tmp_path: Path) -> None:
    planted = tmp_path / "planted.yaml"
    planted.write_text(json.dumps(PRIVILEGED))

    report = checkov.scan(planted)

    assert [finding for finding in report.findings if "Pod.default.planted" not in finding] == []
    assert any("CKV_K8S_16 " in finding for finding in report.findings)
