"""The command itself, as a process."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.programs

COMMAND = Path(sys.executable).with_name("chatbot-operator")
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: nowhere, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: nobody, user: {token: none}}]
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
current-context: nowhere
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OPERATOR_", "KUBE"))}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return inherited | {
        "KUBECONFIG": str(kubeconfig),
        "OPERATOR_SERVICE_IMAGE": "general-purpose-chatbot:test",
        "OPERATOR_HTTP_HOST": "127.0.0.1",
        "OPERATOR_HTTP_PORT": str(port),
    }


@contextmanager
def started(environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output, subprocess.Popen([COMMAND], env=environment, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(log: Path, message: str, *, at_least: int) -> list[dict[str, Any]]:
    """Wait for log lines with `message` and return the whole log."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        complete = [line for line in log.read_text().splitlines() if line.endswith("}")]
        parsed: list[dict[str, Any]] = [json.loads(line) for line in complete]
        if sum(line["message"] == message for line in parsed) >= at_least:
            return parsed
        time.sleep(0.05)
    pytest.fail(f"no line {message!r} in {log.read_text()!r}")


def test_unreachable_api_is_one_line_a_try_and_sigterm_still_ends_with_0(environment: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    with started(environment, log) as process:
        seen = lines(log, "kubernetes api not reachable, retrying", at_least=2)
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=20)

    tries = [line for line in seen if line["message"] == "kubernetes api not reachable, retrying"]
    assert [line["retry_in_seconds"] for line in tries[:2]] == [1, 2]
    assert {line["server"] for line in tries} == {"127.0.0.1:1"}
    assert code == 0
    assert "Traceback" not in log.read_text()


def test_wrong_settings_are_reported_all_at_once(environment: dict[str, str]) -> None:
    wrong = {**environment, "OPERATOR_SERVICE_IMAGE": "", "OPERATOR_WORKERS": "many", "OPERATOR_LOG_LEVEL": "loud"}

    finished = subprocess.run([COMMAND], env=wrong, capture_output=True, text=True, check=False, timeout=60)

    assert finished.returncode == 2
    assert [line.split(":")[0] for line in finished.stderr.splitlines()] == [
        "OPERATOR_SERVICE_IMAGE",
        "OPERATOR_WORKERS",
        "OPERATOR_LOG_LEVEL",
    ]


def test_missing_kubeconfig_is_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    finished = subprocess.run(
        [COMMAND], env={**environment, "KUBECONFIG": str(tmp_path / "none")}, capture_output=True, text=True, check=False, timeout=60
    )

    assert finished.returncode == 2
    (line,) = finished.stderr.splitlines()
    assert line.startswith("no access to a cluster is configured")


def test_kubeconfig_that_half_of_the_process_could_not_use_is_refused(environment: dict[str, str], tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG.replace("cluster: {server", "cluster: {tls-server-name: api.example.com, server"))

    finished = subprocess.run([COMMAND], env=environment, capture_output=True, text=True, check=False, timeout=60)

    assert finished.returncode == 2
    (line,) = finished.stderr.splitlines()
    assert line.startswith("tls-server-name in the kubeconfig is not supported")


def test_taken_port_is_one_line(environment: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(environment["OPERATOR_HTTP_PORT"])))
        taken.listen()

        finished = subprocess.run([COMMAND], env=environment, capture_output=True, text=True, check=False, timeout=60)

    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert "address already in use" in line
