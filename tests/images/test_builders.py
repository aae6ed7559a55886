import io
import json
import tarfile
from pathlib import Path

import pytest

from scripts.image.builders import Buildah, Docker, ImagesError, find_builder, retag, telling_line


def client(folder: Path, script: str, name: str = "docker") -> Path:
    """Put a program of this name first on the path that the test gives to find_builder."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def test_docker_is_taken_if_it_answers_and_knows_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = client(tmp_path / "bin", 'case "$1" in build) echo "--secret";; esac')
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")

    assert find_builder() == Docker(str(program))


@pytest.mark.parametrize(
    "script",
    ["exit 1", 'case "$1" in build) echo "--tag";; esac', 'case "$1" in build) echo "BuildKit is missing"; exit 1;; esac'],
    ids=["no daemon", "no secrets", "no buildx plugin"],
)
def test_a_docker_that_cannot_build_is_passed_over(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    client(tmp_path / "bin", script)
    buildah = client(tmp_path / "bin", "exit 0", "buildah")
    monkeypatch.setenv("PATH", f"{buildah.parent}:/usr/bin:/bin")
    monkeypatch.setattr("os.geteuid", lambda: 0)

    assert find_builder() == Buildah(str(buildah))


def test_buildah_without_root_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    buildah = client(tmp_path / "bin", "exit 0", "buildah")
    monkeypatch.setenv("PATH", f"{buildah.parent}:/usr/bin:/bin")
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    with pytest.raises(ImagesError, match="needs root"):
        find_builder()


def test_a_machine_without_any_builder_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ImagesError, match="apt-get install buildah"):
        find_builder()


def test_retagging_changes_the_tags_and_nothing_else(tmp_path: Path) -> None:
    members = {
        "layer.tar": b"files",
        "repositories": b"{}",
        "manifest.json": json.dumps([{"RepoTags": ["a:1"], "Config": "c.json"}]).encode(),
    }
    with tarfile.open(tmp_path / "old.tar", "w") as old:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            old.addfile(member, io.BytesIO(content))

    retag(tmp_path / "old.tar", tmp_path / "new.tar", ["a:1", "a:latest"])

    with tarfile.open(tmp_path / "new.tar") as new:
        contents = {member.name: stream.read() for member in new if (stream := new.extractfile(member))}
    assert contents["layer.tar"] == b"files"
    assert json.loads(contents["manifest.json"]) == [{"RepoTags": ["a:1", "a:latest"], "Config": "c.json"}]
    assert "repositories" not in contents


@pytest.mark.parametrize(
    ("lines", "telling"),
    [
        (["STEP 1", "E: Unable to locate package", "Error: building at STEP"], "E: Unable to locate package"),
        (["E: Failed to fetch", "Temporary failure resolving 'mirror'", "Error: exit status 1"], "Temporary failure resolving 'mirror'"),
        (["tar: x", "write: No space left on device", "exit status 2"], "write: No space left on device"),
        (["gone"], "gone"),
        ([], "the build ended without a word"),
    ],
)
def test_a_failed_build_is_told_by_its_most_telling_line(lines: list[str], telling: str) -> None:
    assert telling_line(lines) == telling
