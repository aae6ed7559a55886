"""The Go programs at both ends of what is measured: the load generator and the upstream. Both end when this process does."""

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_SECONDS = 300
STALLED_SECONDS = 10.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Asks:
    """What is asked of a candidate: `body` is JSON with {text} and {stream} in their places."""

    path: str
    body: str
    headers: Mapping[str, str]
    """Of which {upstream} is the upstream's URL."""

    def header_lines(self, upstream: str) -> str:
        """Return the headers as the generator takes them."""
        return "\n".join(f"{name}: {value.replace('{upstream}', upstream)}" for name, value in self.headers.items())

    def body_of(self, stream: "Stream | None") -> str:
        """Return the request's body: for a whole answer, or for `stream`."""
        text = stream.text if stream is not None else "How are you?"
        return self.body.replace("{text}", text).replace("{stream}", "false" if stream is None else "true")


@dataclass(frozen=True)
class Report:
    """What a load has seen since its last report; latencies are (p50, p99)."""

    seconds: float
    requests: int
    stamps: int
    open: int
    failed: int
    reasons: Mapping[str, int]
    request_ms: tuple[float, float]
    stamp_ms: tuple[float, float]


@dataclass(frozen=True)
class Target:
    """Who is asked what, and by which generator."""

    generator: Path
    url: str
    asks: Asks
    upstream: str


@dataclass(frozen=True)
class Stream:
    """A streamed answer: `burst` pieces at a time, one piece each `every_ms` on average."""

    every_ms: int
    events: int
    burst: int = 1

    @property
    def text(self) -> str:
        """The words by which the upstream is asked for it."""
        return f"events={self.events} every={self.every_ms * self.burst}ms burst={self.burst}"


class Load:
    """A running load generator."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def report(self) -> Report:
        """Return what happened since the last report."""
        assert self._process.stdin is not None  # noqa: S101  both were asked for
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load generator has ended before its time")
        report = json.loads(line)
        return Report(**report | {"reasons": report["reasons"] or {}})

    def until_open(self, streams: int) -> int:
        """Wait until `streams` answers are open, or no more of them opened for STALLED_SECONDS; return how many failed."""
        failed, most, end = 0, 0, 0.0
        while True:
            report = self.report()
            failed += report.failed
            if report.open > most or not end:
                most, end = report.open, time.monotonic() + STALLED_SECONDS
            if most >= streams or time.monotonic() > end:
                return failed
            time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def load(target: Target, *, connections: int, stream: Stream | None = None, rate: float = 0.0) -> Iterator[Load]:
    """Ask `target` over `connections` at once until the block ends: `rate` times a second, or as often as it answers."""
    arguments = {
        "url": target.url + target.asks.path,
        "headers": target.asks.header_lines(target.upstream),
        "body": target.asks.body_of(stream),
        "connections": str(connections),
        "stamps": str(1 if stream is None else stream.events),
        "rate": str(rate),
        "seconds": str(MAX_SECONDS),
    }
    with _talking_to([str(target.generator), *(f"-{name}={value}" for name, value in arguments.items())]) as process:
        yield Load(process)


@contextlib.contextmanager
def upstream(binary: Path, *, root_file: Path | None = None) -> Iterator[str]:
    """Run the upstream until the block ends; the value is its URL. With `root_file` it speaks TLS, by a chain whose root is put there."""
    with _talking_to([str(binary), *([f"-root={root_file}"] if root_file is not None else [])]) as process:
        assert process.stdout is not None  # noqa: S101  it was asked for
        yield process.stdout.readline().strip()


@contextlib.contextmanager
def _talking_to(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a program that ends with its standard input."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True, env={}) as process:
        try:
            yield process
        finally:
            process.kill()
