"""Programs under measurement: each pinned to one core, with the CPU time and the memory of its whole process tree.

CPU time is the scheduler's own run time in nanoseconds, threads that have ended included, so it holds on a machine that others use too.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

END_SECONDS = 10.0
_CLOCK_OF_PROCESS = 2  # linux/posix-timers.h: CPUCLOCK_SCHED, of a whole process as its PID says it
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_DIRECT = {"PATH": os.environ["PATH"], "NO_PROXY": "*"}
"""All that a program sees of this shell's environment; nothing in it can change the figures."""


class Ended(Exception):
    """A program under measurement has ended by itself."""


@dataclass(frozen=True)
class Command:
    """How a program is started."""

    arguments: Sequence[str | Path]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Program:
    """A running program and what it has started."""

    name: str
    core: int
    process: subprocess.Popen[bytes]
    log: Path

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far; raises Ended."""
        return sum(_cpu_seconds(pid) for pid in self._tree())

    def memory_bytes(self) -> int:
        """Return the resident memory; raises Ended."""
        return sum(_memory_bytes(pid) for pid in self._tree())

    def check(self) -> None:
        """Raise Ended, with its last words, unless it runs."""
        if self.process.poll() is not None:
            lines = self.log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
            raise Ended(f"{self.name} ended with {self.process.returncode}: {lines[-1]}")

    def _tree(self) -> list[int]:
        self.check()
        found = [self.process.pid]
        for pid in found:
            with contextlib.suppress(FileNotFoundError):
                found += [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]
        return found


@contextlib.contextmanager
def running(name: str, command: Command, *, core: int, folder: Path) -> Iterator[Program]:
    """Run `command` on `core` until the block ends, its output in `folder`. Nothing that it started is left behind."""
    log = folder / f"{name.replace(' ', '-').lower()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                "setpriv",
                "--pdeathsig",
                "TERM",
                "taskset",
                "--cpu-list",
                str(core),
                *command.arguments,
            ],  # it ends also if this one is killed
            env=_DIRECT | {"HOME": str(folder)} | dict(command.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,  # a Ctrl-C ends this program alone, which then ends the others
        )
    try:
        yield Program(name, core, process, log)
    finally:
        _end(process)


def busy_seconds(core: int) -> float:
    """Return how long `core` has been busy since the machine's start, for whomever."""
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} "))
    user, nice, system, _idle, _waiting, *interrupts = map(int, line.split()[1:8])
    return (user + nice + system + sum(interrupts)) / _TICKS_PER_SECOND


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.terminate()
        process.wait(timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of one process and of the children that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    waited_for = (int(fields[13]) + int(fields[14])) / _TICKS_PER_SECOND
    return time.clock_gettime((~pid << 3) | _CLOCK_OF_PROCESS) + waited_for


def _memory_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024
