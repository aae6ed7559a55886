"""`scripts/build.sh` with stand-ins for all that it starts: its order, its refusals and failures. What it makes: test_build_for_real.py."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.programs

ROOT = Path(__file__).resolve().parents[2]
IMAGES = "general-purpose-chatbot chatbot-operator anthropic-simulator"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout of the scripts alone; whatever they start only writes down how it was called, and Docker does not answer."""
    tree = tmp_path / "tree"
    (tree / "scripts").mkdir(parents=True)
    for name in ("build.sh", "step.sh"):
        shutil.copy(ROOT / "scripts" / name, tree / "scripts")
    (tree / "VERSION").write_text("1.2.3\n")
    record = f'echo "${{0##*/}} $*" >>{tmp_path}/calls'
    executable(tree / "scripts/packages.sh", record)
    executable(tree / ".venv/bin/python", f'echo "VERSION=$VERSION $*" >>{tmp_path}/calls')
    executable(tmp_path / "programs/make", record)
    executable(tmp_path / "programs/docker", "exit 1")
    return tree


def executable(file: Path, script: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def build(tree: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "VERSION"}
    environment = inherited | {"PATH": f"{tree.parent}/programs:{os.environ['PATH']}"} | variables
    return subprocess.run(["scripts/build.sh"], cwd=tree, env=environment, capture_output=True, text=True, timeout=60, check=False)


def calls(tree: Path) -> list[str]:
    file = tree.parent / "calls"
    return file.read_text().splitlines() if file.exists() else []


def test_tests_come_first_then_images_of_the_files_version(tree: Path) -> None:
    done = build(tree)

    assert done.returncode == 0, done.stderr
    assert calls(tree) == ["make check", "packages.sh images", f"VERSION=1.2.3 scripts/images.py build {IMAGES}"]
    assert "general-purpose-chatbot:1.2.3" in done.stdout


def test_the_version_of_the_environment_wins(tree: Path) -> None:
    build(tree, VERSION="v2.0.0")

    assert f"VERSION=v2.0.0 scripts/images.py build {IMAGES}" in calls(tree)


@pytest.mark.parametrize("version", ["1.0 beta", "-1", "a/b", "x" * 129])
def test_a_version_that_is_no_tag_is_refused_before_anything_is_done(tree: Path, version: str) -> None:
    done = build(tree, VERSION=version)

    assert done.returncode == 2
    assert "is no image tag" in done.stderr
    assert calls(tree) == []


@pytest.mark.parametrize(
    ("argument", "code", "said"), [("--help", 0, "VERSION=v1.2.3 ./scripts/build.sh"), ("v1.2.3", 2, "VERSION=v1.2.3 scripts/build.sh")]
)
def test_arguments_start_nothing_and_say_how_it_is_called(tree: Path, argument: str, code: int, said: str) -> None:
    done = subprocess.run(["scripts/build.sh", argument], cwd=tree, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert calls(tree) == []


def test_failed_tests_build_nothing(tree: Path) -> None:
    executable(tree.parent / "programs/make", "exit 3")

    done = build(tree)

    assert done.returncode != 0
    assert "tests (make check): failed" in done.stderr
    assert calls(tree) == []


def test_failed_images_are_a_failure(tree: Path) -> None:
    executable(tree / ".venv/bin/python", "exit 1")

    assert build(tree).returncode != 0


def test_a_docker_that_answers_is_given_every_image(tree: Path) -> None:
    executable(tree.parent / "programs/docker", f'echo "docker $*" >>{tree.parent}/calls')

    done = build(tree)

    loads = [f"docker load --quiet --input .build/images/{name}.tar" for name in IMAGES.split()]
    assert [call for call in calls(tree) if "docker load" in call] == loads
    assert "docker has general-purpose-chatbot:1.2.3" in done.stdout


def test_without_docker_it_says_where_the_images_are_and_how_to_load_each(tree: Path) -> None:
    said = build(tree).stdout.splitlines()

    assert "as archives; no Docker daemon answers" in said[-4]
    assert said[-3:] == [f"docker load --input .build/images/{name}.tar" for name in IMAGES.split()]
