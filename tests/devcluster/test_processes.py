import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster import processes

ROOT = Path(__file__).parents[2]
SLEEP = ["/bin/sleep", "1000"]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    processes.stop_all(tmp_path, grace_seconds=0)


def pid_of(state: Path, name: str) -> int:
    pid = processes.pid(state, name)
    assert pid is not None
    return pid


def gone(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_started_process_runs_detached_from_its_starter(state: Path) -> None:
    assert processes.start(state, "sleeper", SLEEP)

    assert processes.running(state, "sleeper")
    assert os.getsid(pid_of(state, "sleeper")) != os.getsid(0)


def test_second_start_of_the_same_command_changes_nothing(state: Path) -> None:
    processes.start(state, "sleeper", SLEEP)
    before = processes.pid(state, "sleeper")

    assert not processes.start(state, "sleeper", SLEEP)
    assert processes.pid(state, "sleeper") == before


def test_start_with_another_command_line_replaces_the_process(state: Path) -> None:
    processes.start(state, "sleeper", SLEEP)
    before = pid_of(state, "sleeper")

    assert processes.start(state, "sleeper", ["/bin/sleep", "2000"])
    assert gone(before)
    assert processes.command_line(state, "sleeper") == ["/bin/sleep", "2000"]


def test_killed_process_does_not_run_and_is_started_again(state: Path) -> None:
    processes.start(state, "sleeper", SLEEP)
    os.kill(pid_of(state, "sleeper"), signal.SIGKILL)
    processes.wait_until(lambda: not processes.running(state, "sleeper"), what="the kill", timeout_seconds=5)

    assert processes.start(state, "sleeper", SLEEP)
    assert processes.running(state, "sleeper")


def test_stop_ends_the_process_and_forgets_it(state: Path) -> None:
    processes.start(state, "sleeper", SLEEP)
    pid = pid_of(state, "sleeper")

    assert processes.stop(state, "sleeper")
    assert gone(pid)
    assert processes.names(state) == []
    assert not processes.stop(state, "sleeper")


def test_stop_kills_a_process_that_ignores_sigterm(state: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(1000)"
    processes.start(state, "deaf", [sys.executable, "-c", deaf])
    processes.wait_until_ready(state, "deaf", lambda: processes.log_path(state, "deaf").read_text() == "deaf\n")
    pid = pid_of(state, "deaf")

    processes.stop(state, "deaf", grace_seconds=0.1)

    assert gone(pid)


@pytest.mark.parametrize("changed", ["start tick", "boot"])
def test_recycled_pid_is_neither_taken_for_ours_nor_killed(state: Path, changed: str) -> None:
    processes.start(state, "sleeper", SLEEP)
    pid = pid_of(state, "sleeper")
    record = processes.record(state, "sleeper")
    boot, stat = record.read_text().splitlines()
    fields = stat.split()
    fields[21] = str(int(fields[21]) - 1)
    record.write_text(f"{boot}\n{' '.join(fields)}\n" if changed == "start tick" else f"another-boot\n{stat}\n")

    assert not processes.running(state, "sleeper")
    assert not processes.stop(state, "sleeper")
    assert not gone(pid)
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("content", ["", "garbage", "boot\n12 (x) S 1"])
def test_damaged_record_means_not_running(state: Path, content: str) -> None:
    processes.record(state, "sleeper").parent.mkdir()
    processes.record(state, "sleeper").write_text(content)

    assert not processes.running(state, "sleeper")
    assert not processes.stop(state, "sleeper")


def test_stop_waits_for_the_threads_of_a_process_whose_first_thread_ended(state: Path) -> None:
    exit_thread = {"x86_64": 60, "aarch64": 93}[os.uname().machine]  # the system call's number
    lingering = f"""
import ctypes, pathlib, threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
while not pathlib.Path("go").exists():
    time.sleep(0.01)
ctypes.CDLL(None).syscall({exit_thread}, 0)
"""
    processes.start(state, "lingering", [sys.executable, "-c", lingering])
    pid = pid_of(state, "lingering")
    (state / "go").touch()
    processes.wait_until(lambda: not processes.running(state, "lingering"), what="the first thread", timeout_seconds=5)

    processes.stop(state, "lingering")

    assert list(Path(f"/proc/{pid}/task").glob("*")) in ([], [Path(f"/proc/{pid}/task/{pid}")])


def test_process_that_ends_early_is_an_error_with_its_output(state: Path) -> None:
    def run() -> None:
        processes.start(state, "lister", ["/bin/ls", "/nowhere"])  # may see it run for a moment
        processes.wait_until_ready(state, "lister", lambda: False)

    with pytest.raises(processes.ProcessFailed, match=r"lister ended[\s\S]*/nowhere"):
        run()


@pytest.mark.parametrize(
    ("log", "telling"),
    [
        (
            ["starting", '{"level":"panic","error":"write: no space left on device"}', "panic: x", "main.go:31 +0x28"],
            "no space left on device",
        ),
        (["starting", "error: a first try", 'panic: "it broke"', "goroutine 1", "main.go:31 +0x28"], 'panic: "it broke"'),
        (["I1122 starting", "E1122 14:04:48 cannot listen", "I1122 stopping"], "E1122 14:04:48 cannot listen"),
        (["starting", "stopping"], "stopping"),
        ([], "it said nothing"),
    ],
)
def test_last_words_are_the_line_that_says_most_and_the_logs_path(state: Path, log: list[str], telling: str) -> None:
    processes.log_path(state, "broken").parent.mkdir()
    processes.log_path(state, "broken").write_text("\n".join(log))

    said = processes.last_words(state, "broken")

    assert telling in said
    assert said.endswith(f"(log: {state}/logs/broken.log)")
    assert len(said.splitlines()) == 1


def test_missing_program_is_an_error_that_names_it(state: Path) -> None:
    with pytest.raises(processes.ProcessFailed, match="/bin/no-such-program"):
        processes.start(state, "missing", ["/bin/no-such-program"])


def test_waiting_ends_as_soon_as_the_process_does(state: Path) -> None:
    processes.start(state, "sleeper", SLEEP)

    def kill() -> bool:
        return processes.stop(state, "sleeper") and False

    with pytest.raises(processes.ProcessFailed, match="sleeper ended"):
        processes.wait_until_ready(state, "sleeper", kill, timeout_seconds=60)


def test_waiting_too_long_is_an_error_that_names_what_for(state: Path) -> None:
    processes.start(state, "sleeper", SLEEP)

    with pytest.raises(processes.ProcessFailed, match=r"waited 0\.1 s for sleeper to be ready"):
        processes.wait_until_ready(state, "sleeper", lambda: False, timeout_seconds=0.1)


def test_program_inherits_neither_proxies_nor_other_variables(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid")
    show = "import os, time; print(sorted(os.environ), flush=True); time.sleep(1000)"

    processes.start(state, "shower", [sys.executable, "-c", show], environment={"GIVEN": "1"})

    processes.wait_until_ready(state, "shower", lambda: "'GIVEN'" in processes.log_path(state, "shower").read_text())
    assert "HTTPS_PROXY" not in processes.log_path(state, "shower").read_text()


def test_processes_are_listed_in_starting_order_and_all_stopped(state: Path) -> None:
    for name in ("zeta", "alpha"):
        processes.start(state, name, SLEEP)
    pids = [pid_of(state, name) for name in ("zeta", "alpha")]

    assert set(processes.names(state)) == {"zeta", "alpha"}
    processes.stop_all(state)

    assert all(gone(pid) for pid in pids)


def test_former_log_is_kept(state: Path) -> None:
    log = processes.log_path(state, "speaker")
    first, second = ([sys.executable, "-c", f"import time; print('{word}', flush=True); time.sleep(1000)"] for word in ("first", "second"))
    processes.start(state, "speaker", first)
    processes.wait_until(lambda: log.read_text() == "first\n", what="the first word", timeout_seconds=5)

    processes.start(state, "speaker", second)

    processes.wait_until(lambda: log.read_text() == "second\n", what="the second word", timeout_seconds=5)
    assert log.with_suffix(".log.1").read_text() == "first\n"


def test_processes_end_with_a_caller_that_is_killed(state: Path) -> None:
    program = f"""
from pathlib import Path
from devcluster import processes
state = Path({str(state)!r})
with processes.ended_with_caller(state):
    processes.start(state, "sleeper", {SLEEP!r})
    print("started", flush=True)
    input()
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "started\n"
        pid = pid_of(state, "sleeper")

        caller.kill()

        processes.wait_until(lambda: gone(pid), what="the keeper", timeout_seconds=10)
