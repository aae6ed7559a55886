"""Binaries and images are built beside each other; whatever ends the script ends both."""

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
    """A checkout of the script alone, whose Python is what the test writes to `.venv/bin/python`."""
    (tmp_path / ".venv/bin").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/build_all.sh", tmp_path)
    return tmp_path


def write_python(tree: Path, script: str) -> None:
    program = tree / ".venv/bin/python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("images", "binaries", "code"),
    [("exit 0", "exit 0", 0), ("exit 3", "exit 0", 1), ("exit 0", "exit 3", 1)],
    ids=["both", "images", "binaries"],
)
def test_either_failure_is_a_failure(tree: Path, images: str, binaries: str, code: int) -> None:
    write_python(tree, f'case "$1" in scripts/images.py) {images};; *) {binaries};; esac')

    assert subprocess.run(["bash", "build_all.sh"], cwd=tree, check=False, timeout=30).returncode == code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_both_builds(tree: Path, number: signal.Signals) -> None:
    write_python(tree, "echo $$ >>started; exec sleep 1000")
    started = tree / "started"
    # Started in the background of a script, this test run ignores SIGINT, and bash would go on doing so.
    command = ["env", "--default-signal=INT", "bash", "build_all.sh"]
    with subprocess.Popen(command, cwd=tree, start_new_session=True) as script:
        wait_until(lambda: started.exists() and started.read_text().count("\n") == 2, what="both builds", timeout_seconds=10)
        os.killpg(script.pid, number)

    builds = [Path("/proc", pid) for pid in started.read_text().split()]
    wait_until(lambda: not any(build.exists() for build in builds), what="both builds to end", timeout_seconds=10)
    assert script.returncode == 130
