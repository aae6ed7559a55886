"""`scripts/build.sh` on this tree and a real Docker engine: what a user has afterwards, by `docker` itself.

The engine of the tests has no network, so it builds nothing: it is given what buildah built. What takes a minute, `make check`, runs with
one file of the quick tests, or is replaced; the tests' names say which.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from devcluster.processes import wait_until
from scripts import images
from scripts.images import IMAGES, version
from tests.deploy.conftest import CHATBOT, ROOT
from tests.deploy.engine import PYTHON, Engine

pytestmark = pytest.mark.images

ONE_FILE = "tests/scripts/test_generate.py"
OTHER_VERSION = "v1.2.3"
INPUTS = ("operator", "service", "simulator", "requirements", "scripts")
SCRIPT_SECONDS = 500.0
HEALTH_SECONDS = 60.0
HEALTH = """
from http.client import HTTPConnection
connection = HTTPConnection("127.0.0.1", 8080, timeout=5)
connection.request("GET", "/health")
print(connection.getresponse().read().decode())
"""


def tags(engine: Engine) -> set[str]:
    """Return the names and tags that `docker images` lists of ours."""
    listed = engine.docker("images", "--format={{.Repository}}:{{.Tag}}").split()
    return {reference for reference in listed if reference.partition(":")[0] in IMAGES}


def version_inside(engine: Engine, image: str) -> str:
    """Return the version that an image's label says."""
    return engine.docker("image", "inspect", '--format={{index .Config.Labels "org.opencontainers.image.version"}}', image).strip()


@pytest.fixture(scope="module")
def built(engine: Engine) -> tuple[Engine, str]:
    """The engine, which had none of the images before the script, and what the script printed."""
    engine.docker("rmi", "--force", *tags(engine))
    assert tags(engine) == set()
    return engine, engine.run("scripts/build.sh", cwd=ROOT, seconds=SCRIPT_SECONDS, PYTEST_ADDOPTS=ONE_FILE).stdout


def test_all_of_it_with_one_file_of_the_quick_tests_gives_docker_every_image_by_both_tags(built: tuple[Engine, str]) -> None:
    engine, _ = built

    assert tags(engine) == {f"{name}:{tag}" for name in IMAGES for tag in (version(), "latest")}
    assert {version_inside(engine, reference) for reference in tags(engine)} == {version()}


def test_all_of_it_with_one_file_of_the_quick_tests_says_what_it_did_in_its_order(built: tuple[Engine, str]) -> None:
    _, said = built
    headlines = [line.removeprefix("==> ") for line in said.splitlines() if line.startswith("==> ")]

    checks = ["ruff", "ruff format", "mypy", "import-linter", "generated files are current", "quick tests"]
    assert [headline for headline in headlines if headline in checks] == checks
    assert headlines.index("quick tests") < headlines.index("images")
    assert headlines[-3:] == [f"into Docker: {name}" for name in ("general-purpose-chatbot", "chatbot-operator", "anthropic-simulator")]
    assert said.splitlines()[-1].startswith(f"build: docker has {CHATBOT}:{version()} ")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A copy of the tree where the script built another version, and what it printed; there is no Docker daemon, and `make` is replaced.

    The service's image alone is built: the others count as made before, since another version of them is the same way once more.
    """
    folder = tmp_path_factory.mktemp("other")
    tree = copied_tree(folder / "tree")
    count_as_built(tree, IMAGES.keys() - {CHATBOT})
    (folder / "make").symlink_to("/bin/true")
    surroundings = {"VERSION": OTHER_VERSION, "DOCKER_HOST": f"unix://{folder}/none", "PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["scripts/build.sh"], cwd=tree, env=os.environ | surroundings, capture_output=True, text=True, timeout=SCRIPT_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    yield tree, done.stdout
    made = [f"localhost/{CHATBOT}:{tag}" for tag in (OTHER_VERSION, "latest")]
    subprocess.run(["buildah", "rmi", *made], check=True, capture_output=True)


def copied_tree(tree: Path) -> Path:
    """Return a folder with what images are made of, and this checkout's Python environment."""
    for name in INPUTS:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "dist"))
    for file in (".dockerignore", "VERSION", *(f"Dockerfile.{image.folder}" for image in IMAGES.values())):
        shutil.copy(ROOT / file, tree)
    (tree / ".venv").symlink_to(ROOT / ".venv")
    return tree


def count_as_built(tree: Path, names: Iterable[str]) -> None:
    """Leave what a build of these images would have left in the tree, without anything in them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "ROOT", tree)
        patch.setattr(images, "OUTPUT", tree / ".build/images")
        patch.setenv("VERSION", OTHER_VERSION)
        images.OUTPUT.mkdir(parents=True)
        for image in (IMAGES[name] for name in names):
            image.archive.touch()
            image.record.write_text(json.dumps({"inputs": images.inputs_digest(image), "archive_bytes": 0, "unpacked_bytes": 0}))


@pytest.fixture(scope="module")
def loaded(built: tuple[Engine, str], other: tuple[Path, str]) -> Iterator[Engine]:
    """The engine, once it was given the other version of the service by the command that the script printed for it."""
    engine, _ = built
    tree, said = other
    (command,) = (line for line in said.splitlines() if line.startswith("docker load ") and CHATBOT in line)
    engine.run("sh", "-c", command, cwd=tree)
    yield engine
    engine.docker("tag", f"{CHATBOT}:{version()}", f"{CHATBOT}:latest")
    engine.docker("rmi", "--force", f"{CHATBOT}:{OTHER_VERSION}")


def test_with_make_check_replaced_the_printed_command_gives_docker_the_version_by_tag_and_by_label(loaded: Engine) -> None:
    for tag in (OTHER_VERSION, "latest"):
        assert version_inside(loaded, f"{CHATBOT}:{tag}") == OTHER_VERSION


def test_with_make_check_replaced_the_service_shows_the_version_that_it_was_built_as(loaded: Engine) -> None:
    container = loaded.docker("run", "--detach", "--network=none", "--env=ANTHROPIC_API_KEY=demo", f"{CHATBOT}:{OTHER_VERSION}").strip()

    def health() -> str:
        return loaded.run("docker", "exec", container, PYTHON, "-c", HEALTH, check=False).stdout

    wait_until(lambda: health() != "", what="/health", timeout_seconds=HEALTH_SECONDS)
    shown = json.loads(health())["version"]
    loaded.docker("rm", "--force", container)

    assert shown == OTHER_VERSION
