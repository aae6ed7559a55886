import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chatbot_service.demo import COMMAND as SIMULATOR_COMMAND
from tests.conftest import Simulator
from tests.docs.pages import ROOT, blocks
from tests.service.conftest import START_SECONDS, clean_environment

pytestmark = pytest.mark.programs

DEMO, ASK = (shlex.split(block.text.replace("\\\n", "")) for block in blocks(ROOT / "README.md") if block.section == "Without a cluster")
"""What the README has a newcomer type; the port is the one that the demo names."""


def start(*, drain_delay: str = "0s") -> subprocess.Popen[str]:
    environment = clean_environment(PORT="0", ADMIN_PORT="0", DRAIN_DELAY=drain_delay, DRAIN_TIMEOUT="30s")
    return subprocess.Popen(
        DEMO, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def read_curl(process: subprocess.Popen[str]) -> str:
    """Return the curl line, which comes once the demo is ready."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip().startswith("curl "):
            return line.strip()
    pytest.fail("the demo ended without a curl line")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until_gone(pid: int) -> None:
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < end, f"process {pid} is still there"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: signal.Signals(number).name)
def test_the_demo_needs_nothing_answers_its_own_curl_line_and_takes_its_child_along(number: int) -> None:
    with start() as process:
        try:
            curl = read_curl(process)
            [child] = children(process.pid)
            answer = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, timeout=20, check=True).stdout
        finally:
            process.send_signal(number)
        code = process.wait(timeout=15)

    assert [re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8080", word) for word in shlex.split(curl)] == ASK
    assert "event: done" in answer
    assert code == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    wait_until_gone(child)


def test_ctrl_c_needs_no_drain_delay_and_lets_an_answer_end() -> None:
    with start(drain_delay="60s") as process:
        curl = read_curl(process)
        [child] = children(process.pid)
        simulator = Simulator(f"http://127.0.0.1:{Path(f'/proc/{child}/cmdline').read_text().split(chr(0))[-2]}", process)
        simulator.behave(pace="100ms", events=10)
        with subprocess.Popen(["bash", "-c", curl], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as asking:
            simulator.wait_until(lambda counts: counts["open"] == 1)
            os.killpg(process.pid, signal.SIGINT)
            answer, _ = asking.communicate(timeout=20)

        assert "event: done" in answer
        assert process.wait(timeout=15) == 0


def test_ctrl_c_again_and_again_ends_it_with_0_and_without_a_traceback() -> None:
    with start() as process:
        read_curl(process)
        end = time.monotonic() + 15
        while process.poll() is None:
            assert time.monotonic() < end, "it does not end"
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.02)

        assert process.stdout is not None
        assert process.returncode == 0
        assert "Traceback" not in process.stdout.read()


def test_without_the_simulator_it_says_so_and_ends_with_2(tmp_path: Path) -> None:
    lonely = tmp_path / "python"
    lonely.symlink_to(sys.executable)
    environment = clean_environment(PATH=str(tmp_path), PYTHONPATH=os.pathsep.join(sys.path))

    result = subprocess.run(
        [lonely, "-m", "chatbot_service", "--demo"], env=environment, capture_output=True, text=True, timeout=START_SECONDS, check=False
    )

    assert (result.returncode, result.stderr) == (2, f"--demo needs the {SIMULATOR_COMMAND} command, which is not installed\n")
