"""`python -m bench.service` as it is called."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.service.installed import BUILD

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "bench.service", "--trial", "--only", "Go proxy", "--rounds"]
PROXY = str(BUILD / "bin" / "proxy")
PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture(autouse=True)
def orphans_are_ours() -> Iterator[None]:
    """Have what a benchmark leaves behind become a child of this process, which knows it from what other tests run meanwhile."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    yield
    prctl(PR_SET_CHILD_SUBREAPER, 0)


def running() -> list[str]:
    """Return the command lines of what this process and its descendants run from the benchmark's folder."""
    pids, lines = [os.getpid()], []
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended since
            lines.append(Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " "))
            pids += [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]
    return [line for line in lines if str(BUILD) in line]


def nothing_is_left_behind() -> None:
    end = time.monotonic() + 20
    while lines := running():
        assert time.monotonic() < end, lines
        time.sleep(0.01)


def test_a_run_writes_its_tables(tmp_path: Path) -> None:
    tables = tmp_path / "results.md"

    subprocess.run([*COMMAND, "1", "--write", tables], cwd=ROOT, check=True, timeout=120)

    text = tables.read_text()
    assert "\n| Go proxy | " in text
    assert "not run" not in text
    assert "failed: " not in text
    nothing_is_left_behind()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_broken_off_leaves_nothing_behind(number: signal.Signals) -> None:
    with subprocess.Popen([*COMMAND, "100"], cwd=ROOT, stderr=subprocess.PIPE, text=True) as bench:
        assert bench.stderr is not None
        while "round 1 of 100" not in bench.stderr.readline():
            assert bench.poll() is None

        bench.send_signal(number)
        _, said = bench.communicate(timeout=60)

    assert bench.returncode == 1
    assert "broken off" in said
    assert "Traceback" not in said
    nothing_is_left_behind()


def test_a_run_that_is_killed_leaves_nothing_behind() -> None:
    with subprocess.Popen([*COMMAND, "100"], cwd=ROOT, stderr=subprocess.PIPE, text=True) as bench:
        assert bench.stderr is not None
        while "round 1 of 100" not in bench.stderr.readline():
            assert bench.poll() is None
        while not any(line.startswith(PROXY) for line in running()):  # whoever starts it has set its signal by then
            assert bench.poll() is None

        bench.kill()

    nothing_is_left_behind()
