"""The benchmark prints its table, or says in one line why it cannot."""

import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_taken_port_ends_the_benchmark_at_once_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finished = subprocess.run(
            [sys.executable, "-m", "bench.service", "--rounds=1", f"--port={port}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=25,
            check=False,
        )

    assert finished.returncode == 1
    assert finished.stderr.startswith("bench: the service ended: ")
    assert str(port) in finished.stderr
    assert finished.stderr.count("\n") == 1
