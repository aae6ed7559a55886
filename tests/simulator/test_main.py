"""The command: its start line, its exit codes, its signals."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.conftest import COMMAND, start_simulator
from tests.docs.pages import ROOT, blocks

pytestmark = pytest.mark.programs

HEADERS = {"x-api-key": "demo", "anthropic-version": "2026-10-21"}
STREAM = {"model": "claude-haiku-5-5", "max_tokens": 99, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=20, check=False)


def test_start_line_names_the_url_that_answers() -> None:
    with start_simulator() as simulator:
        assert httpx2.get(f"{simulator.url}/healthz", trust_env=False, verify=False).status_code == 200


def test_host_and_behaviour_can_be_given() -> None:
    with start_simulator("--host", "127.0.0.2", "--behaviour", '{"events": 2}') as simulator:
        assert simulator.url.startswith("http://127.0.0.2:")
        assert httpx2.get(f"{simulator.url}/_simulator/behaviour", trust_env=False, verify=False).json() == {"events": 2}


def test_the_readmes_question_is_answered() -> None:
    (block,) = (block for block in blocks(ROOT / "simulator" / "README.md") if block.language == "bash")
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]

    script = block.text.replace("8000", str(port))
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True)

    assert "event: message_stop" in done.stdout


def test_port_in_use_is_one_line_and_exit_code_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        result = run("--port", str(port))

    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == f"anthropic-simulator: cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_unknown_host_is_one_line_and_exit_code_1() -> None:
    result = run("--host", "no such host", "--port", "0")

    assert result.returncode == 1
    assert result.stderr == "anthropic-simulator: cannot listen on no such host:0: Name or service not known\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--port", "65536"), "'65536' is not a port from 0 to 65535"),
        (("--port", "http"), "'http' is not a port"),
        (("--behaviour", '{"speed": 1}'), "speed: unknown key"),
    ],
)
def test_bad_arguments_are_named(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)

    assert result.returncode == 2
    assert message in result.stderr


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_with_code_0_at_once_even_with_open_streams(sent: signal.Signals) -> None:
    with (
        start_simulator("--behaviour", '{"stall_at": 3}') as simulator,
        httpx2.stream("POST", f"{simulator.url}/v1/messages", json=STREAM, headers=HEADERS, trust_env=False, verify=False) as answer,
    ):
        assert next(answer.iter_lines()) == "event: message_start"
        simulator.process.send_signal(sent)

        assert simulator.process.wait(timeout=20) == 0


def test_it_says_nothing_but_its_start_line(tmp_path: Path) -> None:
    log = tmp_path / "stderr"
    with log.open("wb") as stderr, subprocess.Popen([COMMAND, "--port", "0"], stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        every: list[dict[str, object]] = [{"cut_at": 0}, {"cut_at": 2}, {"error": {}}, {"garbage": True}]
        for faults in every:
            httpx2.put(f"{url}/_simulator/behaviour", json=faults, trust_env=False, verify=False)
            try:
                httpx2.post(f"{url}/v1/messages", json=STREAM, headers=HEADERS, trust_env=False, verify=False)
            except httpx2.RemoteProtocolError:
                assert "cut_at" in faults
        process.terminate()

        assert process.wait(timeout=20) == 0
        assert process.stdout.read() == ""
    assert log.read_text() == ""


def test_it_runs_as_a_module() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "anthropic_simulator", "--help"], capture_output=True, text=True, timeout=20, check=False
    )

    assert result.returncode == 0
    assert "--port" in result.stdout
