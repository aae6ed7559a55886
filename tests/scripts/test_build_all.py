"""Binaries and images are built, and promtool is fetched, beside each other; whatever ends the script ends all."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from devcluster.processes import wait_until

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout of the script alone, whose Python and fetching script are what the test writes."""
    shutil.copy(ROOT / "scripts/build_all.sh", tmp_path)
    return tmp_path


def write(program: Path, script: str) -> None:
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("images", "binaries", "promtool", "failed"),
    [(0, 0, 0, False), (3, 0, 0, True), (0, 3, 0, True), (0, 0, 3, True)],
    ids=["none", "images", "binaries", "promtool"],
)
def test_a_failure_of_one_is_a_failure(tree: Path, images: int, binaries: int, promtool: int, *, failed: bool) -> None:
    write(tree / ".venv/bin/python", f'case "$1" in scripts/images.py) exit {images};; *) exit {binaries};; esac')
    write(tree / "scripts/promtool.sh", f"exit {promtool}")

    assert bool(subprocess.run(["bash", "build_all.sh"], cwd=tree, check=False, timeout=30).returncode) is failed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_all(tree: Path, number: signal.Signals) -> None:
    for program in (".venv/bin/python", "scripts/promtool.sh"):
        write(tree / program, "echo $$ >>started; exec sleep 1000")
    started = tree / "started"
    # Started in the background of a script, this test run ignores SIGINT, and bash would go on doing so.
    command = ["env", "--default-signal=INT", "bash", "build_all.sh"]
    with subprocess.Popen(command, cwd=tree, start_new_session=True) as script:
        wait_until(lambda: started.exists() and started.read_text().count("\n") == 3, what="both builds and the fetch", timeout_seconds=10)
        os.killpg(script.pid, number)

    builds = [Path("/proc", pid) for pid in started.read_text().split()]
    wait_until(lambda: not any(build.exists() for build in builds), what="all of them to end", timeout_seconds=10)
    assert script.returncode == 130
