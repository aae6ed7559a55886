"""`python -m bench.operator` as it is called."""

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "bench.operator", "--trial", "--rounds", "1"]


def running(state: Path) -> list[str]:
    """Return the command lines of what works in the benchmark's folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended since
            if (process / "cwd").readlink().is_relative_to(state):
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


def nothing_is_left_behind(state: Path) -> None:
    end = time.monotonic() + 20
    while lines := running(state):
        assert time.monotonic() < end, lines
        time.sleep(0.05)


def test_a_run_writes_its_tables(tmp_path: Path) -> None:
    tables = tmp_path / "results.md"

    subprocess.run([*COMMAND, "--state", tmp_path, "--write", tables], cwd=ROOT, check=True, timeout=590)

    text = tables.read_text()
    assert "Remarks" not in text
    for name in ("chatbot-operator", "controller-runtime", "floor"):
        assert f"\n| {name} | 5 | " in text
    assert "\n| 5: applies of a new resource | 5.00 | - | 5.00 | met |" in text
    assert "not measured" not in text
    nothing_is_left_behind(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen([*COMMAND, "--only", "floor", "--state", tmp_path], cwd=ROOT, stderr=subprocess.PIPE, text=True) as bench:
        assert bench.stderr is not None
        while not any("kwok" in line for line in running(tmp_path)):
            assert bench.poll() is None
            time.sleep(0.05)

        bench.send_signal(number)
        _, said = bench.communicate(timeout=60)

    assert "Traceback" not in said
    if number is signal.SIGTERM:
        assert "broken off" in said
    nothing_is_left_behind(tmp_path)
