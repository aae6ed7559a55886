"""Names of images, configuration files and mounts."""

from pathlib import Path

import pytest

from devcluster.runtime import full_name, mounts_under, write_configuration

SETTINGS = {"gateway": "192.0.2.1", "port": "53", "ready_port": "8181", "kubeconfig": "kubeconfig", "forward": ""}


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("chatbot-operator:0.1.0", "docker.io/library/chatbot-operator:0.1.0"),
        ("team/chatbot:1", "docker.io/team/chatbot:1"),
        ("localhost/chatbot:1", "localhost/chatbot:1"),
        ("localhost:5000/chatbot:1", "localhost:5000/chatbot:1"),
        ("registry.example/team/chatbot:1", "registry.example/team/chatbot:1"),
    ],
)
def test_a_name_without_a_registry_is_completed_as_containerd_does(reference: str, expected: str) -> None:
    assert full_name(reference) == expected


def test_a_changed_configuration_has_another_path(tmp_path: Path) -> None:
    first = write_configuration(tmp_path, "Corefile-{digest}", template="Corefile", settings=SETTINGS)
    same = write_configuration(tmp_path, "Corefile-{digest}", template="Corefile", settings=SETTINGS)
    changed = write_configuration(tmp_path, "Corefile-{digest}", template="Corefile", settings=SETTINGS | {"port": "5353"})

    assert first == same
    assert first != changed
    assert "5353" in changed.read_text()


def test_mounts_are_listed_the_innermost_first() -> None:
    mounts = mounts_under(Path("/"))

    assert mounts.index(Path("/proc")) < mounts.index(Path("/"))


def test_a_folder_without_mounts_has_none(tmp_path: Path) -> None:
    assert mounts_under(tmp_path) == ()
