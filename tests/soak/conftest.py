"""A service under attack, what it must still be afterwards, and the sizes: those of CI, or the full ones when SOAK is set.

What is drawn at random comes from SEED, which every failure names: `SEED=… pytest tests/soak` attacks in the same way again.
"""

import contextlib
import math
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Simulator
from tests.service.conftest import Service, start_service
from tests.sizes import SEED, SOAK, size

__all__ = ["SEED", "SOAK", "size"]

KIB = 1 << 10
MIB = 1 << 20


@dataclass(frozen=True)
class Vitals:
    """What a process holds."""

    rss_bytes: int
    descriptors: int
    tasks: int


def vitals(service: Service) -> Vitals:
    """Return what the kernel says of the service's process, and its event loop, which needs DEBUG_ENDPOINTS."""
    folder = Path(f"/proc/{service.process.pid}")
    pages = int((folder / "statm").read_text().split()[1])
    stacks = service.request("GET", "/debug/stacks", admin=True).body.decode()
    return Vitals(
        rss_bytes=pages * os.sysconf("SC_PAGE_SIZE"),
        descriptors=len(list((folder / "fd").iterdir())),
        tasks=sum(int(number) for number in re.findall(r"^(\d+) tasks$", stacks, re.MULTILINE)),
    )


@contextlib.contextmanager
def bounded_growth(service: Service, limit_bytes: int) -> Iterator[None]:
    """Fail if the process holds more than `limit_bytes` above what it does now, at any moment inside the block."""
    folder = Path(f"/proc/{service.process.pid}")
    (folder / "clear_refs").write_text("5")  # sets the peak to what is held now
    before = _peak_bytes(folder)
    yield
    growth_bytes = _peak_bytes(folder) - before
    assert growth_bytes < limit_bytes, f"held {growth_bytes / MIB:.1f} MiB more"


def _peak_bytes(folder: Path) -> int:
    found = re.search(r"^VmHWM:\s*(\d+) kB$", (folder / "status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def gauge(service: Service, name: str) -> float:
    """Return one value of the service's metrics, `name` with its labels as it is written there."""
    for line in service.request("GET", "/metrics", admin=True).body.decode().splitlines():
        if line.rpartition(" ")[0] == name:
            return float(line.rpartition(" ")[2])
    pytest.fail(f"no metric {name}")


def percentile(values: list[float], percent: int) -> float:
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def complaints(service: Service) -> list[str]:
    """Return how often which log line speaks of a defect: one at the level error, or with a stack trace."""
    lines = [line for line in service.log_lines() if line["level"] in ("error", "critical") or "stack_trace" in line]
    kinds = Counter(f"{line['message']}{_place(line)}" for line in lines)
    return [f"{number} times: {kind}" for kind, number in kinds.most_common(10)]


def _place(line: dict[str, Any]) -> str:
    """Return the last steps of the stack trace, if there is one."""
    trace = (line.get("stack_trace") or "").partition("\ncaused by")[0]
    return "".join(f"\n    {step}" for step in trace.splitlines()[-7:])


def start_unlimited(upstream_url: str, **variables: str) -> contextlib.AbstractContextManager[Service]:
    """Run a service that has no reason of its own to refuse anybody."""
    upstream = {"ANTHROPIC_BASE_URL": upstream_url, "ANTHROPIC_API_KEY": "demo"}
    unlimited = {"RATE_LIMIT_ENABLED": "false", "MAX_IN_FLIGHT": "10000", "QUEUE_SIZE": "10000", "DEBUG_ENDPOINTS": "true"}
    return start_service(None, wait_ready=True, **upstream | unlimited | variables)


@contextlib.contextmanager
def unharmed(service: Service, capfd: pytest.CaptureFixture[str], *, growth_bytes: int) -> Iterator[None]:
    """Attack inside the block. Afterwards the process lives, has complained of nothing, has not grown much, and still chats."""
    before = vitals(service).rss_bytes
    yield
    assert service.process.poll() is None
    assert gauge(service, "chatbot_log_lines_dropped_total") == 0
    assert not (found := complaints(service)), "\n".join(found)
    assert vitals(service).rss_bytes - before < growth_bytes
    assert service.chat().status == 200
    service.wait_until(lambda: gauge(service, "chatbot_requests_in_flight") == 0, seconds=5)
    assert capfd.readouterr().err == ""


@pytest.fixture
def attacked(simulator: Simulator, capfd: pytest.CaptureFixture[str]) -> Iterator[Service]:
    """A service of this test's own, without limits, that must be unharmed in the end; bodies above 256 KiB are too large for it."""
    with start_unlimited(simulator.url, MAX_REQUEST_SIZE="262144") as service:
        service.chat()
        with unharmed(service, capfd, growth_bytes=64 * MIB):
            yield service
