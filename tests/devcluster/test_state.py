import os
import subprocess
import sys
from pathlib import Path

import pytest

from devcluster.state import cache_folder, lock, state_folder

ROOT = Path(__file__).parents[2]
HOLD = """
from pathlib import Path
from devcluster.state import lock
with lock(Path({folder!r})):
    print("held", flush=True)
    {then}
"""


@pytest.mark.parametrize("given", ["", "relative/is/ignored"])
def test_folders_follow_the_base_directory_specification(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", given)
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")

    assert state_folder() == tmp_path / ".local/state/chatbot-devcluster"
    assert cache_folder() == Path("/cache/chatbot-devcluster")


def test_second_command_waits_for_the_first_and_says_for_whom(tmp_path: Path) -> None:
    program = HOLD.format(folder=str(tmp_path), then="")
    with lock(tmp_path):
        second = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert second.stderr is not None
        said = second.stderr.readline()
        assert second.poll() is None

    assert f"waiting for process {os.getpid()}, which works on {tmp_path}" in said
    assert second.communicate(timeout=10)[0] == "held\n"


def test_lock_of_a_killed_command_is_free(tmp_path: Path) -> None:
    program = HOLD.format(folder=str(tmp_path), then="input()")
    holder = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.communicate()

    with lock(tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())
