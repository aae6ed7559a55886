"""One Docker engine for a session, with the images in it, and copies of what a user has: the Compose files and `.env.example`."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.engine import Engine, control_groups, start_engine
from tests.docs.pages import blocks

ROOT = Path(__file__).resolve().parents[2]
CHATBOT, SIMULATOR = "general-purpose-chatbot", "anthropic-simulator"


def block_run_by(test: str, *, page: str) -> str:
    """Return the text of the one block of a page that is said to be run by a test, named as file::name."""
    (text,) = (block.text for block in blocks(ROOT / page) if test in block.tests)
    return text


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The engine, with the images of the tree as it is now."""
    build = subprocess.run([sys.executable, "scripts/images.py", "build"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stdout + build.stderr
    with start_engine(tmp_path_factory.mktemp("engine")) as engine:
        for name in (CHATBOT, SIMULATOR):
            engine.docker("load", "--quiet", "--input", ROOT / f".build/images/{name}.tar")
        yield engine
    assert control_groups() == ()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what Compose reads of a checkout."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "deploy", folder / "deploy", symlinks=True)
    for name in ("docker-compose.yml", ".env.example"):
        shutil.copy(ROOT / name, folder)
    return folder
