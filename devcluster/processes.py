"""Plain processes under a state folder: started detached, found again by pid and start time, stopped by pidfd, logged to a file.

`<state>/processes/<name>` is written by the process itself before it becomes the program, so a crash of the starter loses nobody; it
holds the boot id and the kernel's `stat` line, so a recycled pid is never taken for ours and never killed. Knows nothing about clusters.
"""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devcluster.errors import DevclusterError

LAUNCHER = 'cat /proc/sys/kernel/random/boot_id "/proc/$$/stat" > "$0.new" && mv "$0.new" "$0" && exec "$@"'
LAUNCH_SECONDS = 10.0
KILL_SECONDS = 30.0
POLL_SECONDS = 0.05
LOG_TAIL_BYTES = 32_768
LINE_CHARACTERS = 600
# What programs write before they end, the most telling first: a full disk, Go's panic and the fatal entries of etcd and klog, any error.
TELLING = (
    re.compile("no space left on device"),
    re.compile(r'^panic: |"level":"(panic|fatal)"|^F\d{4} '),
    re.compile(r"(?i)\berror\b|^E\d{4} |cannot|failed"),
)


class ProcessFailed(DevclusterError):
    """A process did not start, ended before it was ready, or did not get ready in time; the message holds its last words."""


@dataclass(frozen=True)
class Identity:
    """What makes a process that process: its pid and the clock tick it started at, in this boot of the machine."""

    pid: int
    start_tick: int
    boot: str


def start(state: Path, name: str, argv: Sequence[str | Path], *, environment: Mapping[str, str] | None = None) -> bool:
    """Start a program (not a script) unless it runs with this very command line; return whether it was started.

    A process of this name with another command line is stopped first. The program gets PATH, HOME and `environment` only: no proxy
    variables, nothing of the caller's shell. Its output goes to `log_path(state, name)`; the former log is kept beside it.
    """
    command = [str(argument) for argument in argv]
    if running(state, name) and command_line(state, name) == command:
        return False
    stop(state, name)
    log = log_path(state, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    record(state, name).parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    inherited = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    with log.open("ab") as output:
        subprocess.run(
            ["setsid", "--fork", "sh", "-c", LAUNCHER, record(state, name), *command],
            check=True,
            cwd=state,
            env=inherited | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    wait_until(
        lambda: record(state, name).exists() and (not running(state, name) or command_line(state, name) == command),
        what=f"{name} to start",
        timeout_seconds=LAUNCH_SECONDS,
    )
    if not running(state, name):
        raise ProcessFailed(f"{name} ended at once: {last_words(state, name)}")
    return True


def stop(state: Path, name: str, *, grace_seconds: float = 10.0) -> bool:
    """End the process: SIGTERM, then SIGKILL after `grace_seconds`; return whether there was one. Its children are left alone."""
    identity = recorded(state, name)
    stopped = identity is not None and end(identity, grace_seconds=grace_seconds)
    record(state, name).unlink(missing_ok=True)
    return stopped


def stop_all(state: Path, *, grace_seconds: float = 10.0) -> None:
    """End every process recorded under the state folder, the youngest first."""
    for name in reversed(names(state)):
        stop(state, name, grace_seconds=grace_seconds)


@contextlib.contextmanager
def ended_with_caller(state: Path) -> Iterator[None]:
    """End every process of the state folder when the block ends, also if the calling process is killed in it.

    A keeper (this module run as a program) waits for the end of its input: the kernel closes the pipe, however the caller ends.
    """
    keeper = [sys.executable, "-m", __spec__.name, str(state.absolute())]
    with subprocess.Popen(keeper, stdin=subprocess.PIPE, cwd=Path(__file__).parent.parent, start_new_session=True):
        try:
            yield
        finally:
            stop_all(state, grace_seconds=0)


def running(state: Path, name: str) -> bool:
    """Say whether the recorded process lives; a zombie does not."""
    return pid(state, name) is not None


def pid(state: Path, name: str) -> int | None:
    """Return the pid of the recorded process while it lives."""
    identity = recorded(state, name)
    return identity.pid if identity is not None and alive(identity) else None


def names(state: Path) -> list[str]:
    """List the recorded processes, dead ones too, in the order in which they were started."""
    identities = {path.name: recorded(state, path.name) for path in (state / "processes").glob("*") if path.suffix != ".new"}
    return sorted(identities, key=lambda name: (identity.start_tick if (identity := identities[name]) else 0, name))


def require_running(state: Path, name: str) -> None:
    """Raise ProcessFailed, with the process' last words, if it ended."""
    if not running(state, name):
        raise ProcessFailed(f"{name} ended: {last_words(state, name)}")


def wait_until_ready(state: Path, name: str, ready: Callable[[], bool], *, timeout_seconds: float = 60.0) -> None:
    """Wait until `ready()`; raise ProcessFailed, with its last words, as soon as the process ends or when the time is over."""

    def ready_or_dead() -> bool:
        require_running(state, name)
        return ready()

    try:
        wait_until(ready_or_dead, what=f"{name} to be ready", timeout_seconds=timeout_seconds)
    except TimeoutError as error:
        raise ProcessFailed(f"{error}: {last_words(state, name)}") from error


def wait_until(condition: Callable[[], bool], *, what: str, timeout_seconds: float) -> None:
    """Poll `condition` until it holds; raise TimeoutError that names `what` when the time is over."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_seconds:g} s for {what}")
        time.sleep(POLL_SECONDS)


def log_path(state: Path, name: str) -> Path:
    """Return where the output of a process goes."""
    return state / "logs" / f"{name}.log"


def last_words(state: Path, name: str) -> str:
    """Return the line of a process' log that says most about its end, and the log's path, as one line."""
    path = log_path(state, name)
    content = path.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace") if path.exists() else ""
    lines = [line.strip() for line in content.splitlines() if line.strip()] or ["it said nothing"]
    telling = next((line for pattern in TELLING for line in reversed(lines) if pattern.search(line)), lines[-1])
    return f"{telling[:LINE_CHARACTERS]} (log: {path})"


def record(state: Path, name: str) -> Path:
    """Return the file that says which process has this name."""
    return state / "processes" / name


def recorded(state: Path, name: str) -> Identity | None:
    """Read a record; None when there is none or it is not whole."""
    try:
        boot, stat = record(state, name).read_text().splitlines()
        return parse_identity(stat, boot=boot)
    except (FileNotFoundError, ValueError, IndexError):
        return None


def parse_identity(stat: str, *, boot: str) -> Identity:
    """Parse a line of `/proc/<pid>/stat`: the pid is its field 1, the start time its field 22. Source: proc(5)."""
    before, _, after = stat.rpartition(")")
    return Identity(pid=int(before.split(maxsplit=1)[0]), start_tick=int(after.split()[19]), boot=boot)


def alive(identity: Identity) -> bool:
    """Say whether that very process lives and is no zombie."""
    return process_state(identity) not in (None, "Z", "X")


def process_state(identity: Identity) -> str | None:
    """Return the state letter of that very process; None when there is no such process, or its pid means another one by now."""
    try:
        stat = Path(f"/proc/{identity.pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return stat.rpartition(")")[2].split()[0] if parse_identity(stat, boot=boot) == identity else None


def end(identity: Identity, *, grace_seconds: float) -> bool:
    """End that very process and return whether it lived, once all its threads are gone, and their sockets and locks with them.

    A pidfd keeps the pid from meaning anybody else. A killed process may be a zombie whose other threads still end: that is waited for.
    """
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return False
    try:
        if process_state(identity) is None:
            return False
        lived = alive(identity)
        gone = select.poll()
        gone.register(descriptor, select.POLLIN)
        for number, patience_seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, KILL_SECONDS)):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
            if gone.poll(patience_seconds * 1000):
                return lived
        raise TimeoutError(f"process {identity.pid} survived SIGKILL for {KILL_SECONDS:g} s")
    finally:
        os.close(descriptor)


def command_line(state: Path, name: str) -> list[str]:
    """Return the arguments that the recorded process runs with."""
    identity = recorded(state, name)
    try:
        return Path(f"/proc/{identity.pid if identity else 0}/cmdline").read_text().split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


if __name__ == "__main__":
    sys.stdin.read()
    stop_all(Path(sys.argv[1]), grace_seconds=0)
