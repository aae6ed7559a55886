"""Shows steps that run beside each other, with the time each one takes.

On a terminal a live list; otherwise a line when a step starts and ends, and one now and then in between.
"""

import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from scripts.commands import ROOT, Failed, environment, last_line

HEARTBEAT_SECONDS = 30.0
LOGS = ROOT / ".build" / "logs"


class Step:
    """One line of the list: a title, how far it is, and since when."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.detail = ""
        self.outcome: str | None = None
        self._start = time.monotonic()
        self._seconds: float | None = None
        self.spinner = Spinner("dots")

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since the start, until the end once it ended."""
        return time.monotonic() - self._start if self._seconds is None else self._seconds

    def end(self, outcome: str) -> None:
        """Stop the clock; `outcome` is `done` or `failed`."""
        self._seconds, self.outcome = time.monotonic() - self._start, outcome


class Progress:
    """The list of steps of one run; a context manager, safe to use from several threads."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._steps: list[Step] = []
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._cancelled = False
        self._lock = threading.Lock()
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=4) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Show `title` as running until the block ends."""
        step = Step(title)
        with self._lock:
            self._steps.append(step)
        self._say(f"==> {title}")
        outcome = "failed"
        try:
            yield step
            outcome = "done"
        finally:
            step.end(outcome)
            self._say(f"    {title}: {outcome} in {step.elapsed_seconds:.0f} s")

    def command(self, title: str, *argvs: Sequence[str | Path]) -> None:
        """Run the commands one after the other as one step, their output in a log file; raises Failed with its last line."""
        log = LOGS / f"{title.replace(' ', '-')}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with self.step(title) as step, log.open("wb") as output:
            for argv in argvs:
                code = self._run(argv, step, output=output.fileno(), log=log)
                if code:
                    raise Failed(f"{title}: {_last_line_of(log) or f'exit code {code}'} (log: {log})")

    def cancel(self) -> None:
        """End the commands that still run; none starts after this."""
        with self._lock:
            self._cancelled = True
            for process in self._processes:
                process.terminate()

    def _run(self, argv: Sequence[str | Path], step: Step, *, output: int, log: Path) -> int:
        with self._lock:
            if self._cancelled:
                raise Failed(f"{step.title}: given up")
            process = subprocess.Popen(argv, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
            self._processes.add(process)
        said = time.monotonic()
        while True:
            try:
                return process.wait(timeout=0.25)
            except subprocess.TimeoutExpired:
                step.detail = _last_line_of(log)
                if time.monotonic() - said > HEARTBEAT_SECONDS:
                    said = time.monotonic()
                    self._say(f"    {step.title}: {step.elapsed_seconds:.0f} s … {step.detail}")
            finally:
                if process.poll() is not None:
                    with self._lock:
                        self._processes.discard(process)

    def _say(self, line: str) -> None:
        if not self._live:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _render(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for step in list(self._steps):
            sign = {"done": Text("✓", "green"), "failed": Text("✗", "red")}.get(step.outcome or "", step.spinner)
            seconds = Text(f"{step.elapsed_seconds:.0f} s", "cyan", justify="right")
            table.add_row(
                sign, Text(step.title), seconds, Text("" if step.outcome else step.detail, "dim", no_wrap=True, overflow="ellipsis")
            )
        return table


def _last_line_of(log: Path, *, tail_bytes: int = 4096) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - tail_bytes))
        return last_line(file.read().decode(errors="replace"))
