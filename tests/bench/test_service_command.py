"""`python -m bench.service` as it is called."""

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.service.installed import BUILD

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "bench.service", "--trial", "--only", "Go proxy", "--rounds"]


def running() -> list[str]:
    """Return the command lines of what runs from the benchmark's folder."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended since
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
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
        while "/proxy" not in " ".join(running()):
            assert bench.poll() is None

        bench.kill()

    nothing_is_left_behind()
