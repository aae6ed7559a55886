"""The Anthropic simulator for every test that needs an upstream: the real command, as a process of its own, on a free port.

`start_simulator()` gives a test its own one; the fixture `simulator` lends the session's, without faults and with its counts at zero.
"""

import contextlib
import json
import os
import re
import select
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.clock import Clock

# Examples of each property: a few while somebody waits for `make check`, twice as many in CI (there always the same ones), thousands by
# `make soak`. A property that says its own number has that one.
# Nothing depends on how fast the machine is, for it may be shared.
patient = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("quick", patient, max_examples=25)
hypothesis.settings.register_profile("ci", patient, max_examples=50, derandomize=True)
hypothesis.settings.register_profile("soak", patient, max_examples=10_000)
hypothesis.settings.load_profile("soak" if os.environ.get("SOAK") else "ci" if os.environ.get("CI") else "quick")

COMMAND = Path(sys.executable).with_name("anthropic-simulator")
START_SECONDS = 20.0
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out modules without the marker that `-m` names alone: to import them all takes each process of a stage seconds."""
    marker = str(config.option.markexpr)
    if marker.isidentifier() and collection_path.name.startswith("test_"):
        return f"pytest.mark.{marker}" not in collection_path.read_text() or None
    return None


@dataclass(frozen=True)
class Simulator:
    """A running simulator: where it listens, what it is told to do, what it has seen."""

    url: str
    process: subprocess.Popen[str]

    def behave(self, **faults: object) -> None:
        """Replace every fault by `faults`, keys as in PUT /_simulator/behaviour; none at all resets."""
        self._call("PUT", "/_simulator/behaviour", json.dumps(faults).encode())

    def requests(self) -> dict[str, Any]:
        """Return {total, by_path, by_status, open, cancelled}; the simulator's own control requests are not counted."""
        return self._call("GET", "/_simulator/requests")

    def forget(self) -> None:
        """Set the counts to zero."""
        self._call("DELETE", "/_simulator/requests")

    def wait_until(self, condition: Callable[[dict[str, Any]], bool], *, seconds: float = 5.0) -> dict[str, Any]:
        """Return the counts as soon as they meet `condition`; fails with the last ones after `seconds`."""
        end = time.monotonic() + seconds
        while not condition(counts := self.requests()):
            if time.monotonic() > end:
                pytest.fail(f"the simulator's counts did not get there in {seconds} s: {counts}")
            time.sleep(0.01)
        return counts

    def _call(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        request = urllib.request.Request(self.url + path, data=body, method=method, headers={"content-type": "application/json"})
        with _direct.open(request, timeout=10) as response:
            answer: dict[str, Any] = json.load(response)
        return answer


@contextlib.contextmanager
def start_simulator(*arguments: str) -> Iterator[Simulator]:
    """Run `anthropic-simulator --port 0` until the block ends; SIGTERM must end it with exit code 0."""
    with subprocess.Popen([COMMAND, "--port", "0", *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Simulator(url=_started_url(process), process=process)
            process.terminate()
            code = process.wait(timeout=10)
        finally:
            process.kill()
    assert code in (0, -9), f"the simulator ended with exit code {code}"


def _started_url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline() if readable else ""
    found = re.search(r"http://\S+", line)
    assert found is not None, f"no start line from {COMMAND} within {START_SECONDS} s: {line!r}"
    return found[0]


@pytest.fixture(scope="session")
def _session_simulator() -> Iterator[Simulator]:
    with start_simulator() as simulator:
        yield simulator


@pytest.fixture
def simulator(_session_simulator: Simulator) -> Iterator[Simulator]:
    """The session's simulator with no fault set, no request open and every count at zero; it is left without a fault, too."""
    _session_simulator.behave()
    _session_simulator.wait_until(lambda counts: counts["open"] == 0)
    _session_simulator.forget()
    yield _session_simulator
    _session_simulator.behave()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextlib.contextmanager
def scheduling_lags() -> Iterator[list[float]]:
    """Measure meanwhile how much later than it asked for a thread of this machine gets its turn."""
    lags = [0.0]
    over = threading.Event()

    def measure() -> None:
        while True:
            due = time.monotonic() + 0.005
            if over.wait(0.005):
                return
            lags.append(time.monotonic() - due)

    thread = threading.Thread(target=measure)
    thread.start()
    try:
        yield lags
    finally:
        over.set()
        thread.join()
