"""The benchmark prints its table, or says in one line why it cannot."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parents[2]


def test_one_round_gives_a_table_of_what_was_measured() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "bench.service", "--rounds=1"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )

    title, rule, *rows = finished.stdout.splitlines()
    assert title.startswith("| chatbot-service, 1 rounds")
    assert rule == "|---|---|---|---|"
    figures = {name.strip(): float(median) for _, name, _, median, _, _ in (row.split("|") for row in rows)}
    assert {"CPU to ready (ms)", "CPU a request (ms)", "CPU a streamed event (ms)", "memory at the end (MiB)"} <= figures.keys()
    assert all(figures[name] > 0 for name in figures if name.startswith(("CPU", "memory")))


def test_taken_port_ends_the_benchmark_at_once_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finished = subprocess.run(
            [sys.executable, "-m", "bench.service", "--rounds=1", f"--port={port}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert finished.returncode == 1
    assert finished.stderr.startswith("bench: the service ended: ")
    assert str(port) in finished.stderr
    assert finished.stderr.count("\n") == 1
