"""What the kernel tells of a program under measurement, and that nothing of it is left behind."""

import os
import signal
import sys
from pathlib import Path

import pytest

from bench.service.processes import Command, Ended, Program, running
from tests.waiting import wait_until

CORE = min(os.sched_getaffinity(0))


def python(code: str) -> Command:
    return Command([sys.executable, "-S", "-c", code], {})


def said(program: Program) -> str:
    wait_until(lambda: program.log.read_text().endswith("\n"))
    return program.log.read_text().strip()


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_cpu_time_has_the_threads_that_ended_and_the_children_that_run(tmp_path: Path) -> None:
    spin = "import os, threading, time\ndef spin():\n while time.thread_time() < 0.2: pass\n"
    threads = spin + "thread = threading.Thread(target=spin); thread.start(); thread.join(); print(1, flush=True); time.sleep(60)"
    child = spin + "if os.fork() == 0:\n spin(); print(1, flush=True)\ntime.sleep(60)"

    for code in (threads, child):
        with running("spinner", python(code), core=CORE, folder=tmp_path) as program:
            said(program)

            assert 0.2 <= program.cpu_seconds() < 2


def test_a_program_has_one_core_and_only_the_environment_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    code = "import os, time; print(os.sched_getaffinity(0), 'HTTPS_PROXY' in os.environ, flush=True); time.sleep(60)"

    with running("asker", python(code), core=CORE, folder=tmp_path) as program:
        assert said(program) == f"{{{CORE}}} False"


def test_memory_is_that_of_the_whole_tree(tmp_path: Path) -> None:
    code = "import os, time\nif os.fork() == 0:\n held = b'x' * 50_000_000; print(1, flush=True)\ntime.sleep(60)"

    with running("holder", python(code), core=CORE, folder=tmp_path) as program:
        said(program)

        assert program.memory_bytes() > 50_000_000


def test_what_a_program_started_ends_with_it_even_if_it_will_not(tmp_path: Path) -> None:
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nif os.fork() == 0:\n print(os.getpid(), flush=True)\n time.sleep(60)\n"
    code = f"import os, signal, time\n{stubborn}signal.signal(signal.SIGTERM, signal.SIG_DFL)\ntime.sleep(60)"

    with running("parent", python(code), core=CORE, folder=tmp_path) as program:
        child = int(said(program))

    wait_until(lambda: not is_there(child))
    assert program.process.returncode == -signal.SIGTERM


def test_a_program_that_ended_by_itself_is_told_with_its_last_words(tmp_path: Path) -> None:
    with running("failer", python("raise SystemExit('no port')"), core=CORE, folder=tmp_path) as program:
        program.process.wait(timeout=20)

        with pytest.raises(Ended, match="failer ended with 1: no port"):
            program.cpu_seconds()
