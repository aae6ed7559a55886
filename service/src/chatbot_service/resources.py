"""What the process takes of its machine: one log line a minute, and how late the event loop runs its timers.

Nothing here is done once a request.
"""

import asyncio
import contextlib
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from chatbot_service.durations import format_duration
from chatbot_service.runtime import Runtime

INTERVAL_SECONDS = 60.0
TICK_SECONDS = 0.5
_PROCESS = Path("/proc/self")

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Load:
    """How much there is to do at the moment."""

    open_connections: int
    upstream_connections_open: int
    upstream_connections_idle: int
    in_flight: int
    queued: int

    @classmethod
    def of(cls, runtime: Runtime) -> "Load":
        """Return the load of this process."""
        upstream = runtime.upstream
        return cls(
            open_connections=len(runtime.connections),
            upstream_connections_open=upstream.open_connections if upstream is not None else 0,
            upstream_connections_idle=upstream.idle_connections if upstream is not None else 0,
            in_flight=runtime.slots.in_flight,
            queued=runtime.slots.queued,
        )


class Resources:
    """Ticks as long as the process serves, and sees to it that log lines are not left waiting when nothing else is logged."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        interval_seconds: float = INTERVAL_SECONDS,
        tick_seconds: float = TICK_SECONDS,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._runtime = runtime
        self._interval_seconds = interval_seconds
        self._tick_seconds = tick_seconds
        self._cpu_clock = cpu_clock
        self._worst_lag_seconds = 0.0

    async def run(self) -> None:
        """Measure and log until cancelled."""
        now = asyncio.get_running_loop().time
        logged, cpu_seconds = now(), self._cpu_clock()
        while True:
            due = now() + self._tick_seconds
            await asyncio.sleep(self._tick_seconds)
            self._lagged(max(0.0, now() - due))
            self._runtime.output.flush()
            elapsed = now() - logged
            if elapsed >= self._interval_seconds:
                used = self._cpu_clock() - cpu_seconds
                self._log(cpu_percent=round(100 * used / elapsed, 1))
                logged, cpu_seconds = logged + elapsed, cpu_seconds + used

    def _lagged(self, seconds: float) -> None:
        self._runtime.loop_lag_seconds = seconds
        self._runtime.metrics.loop_lagged(seconds)
        self._worst_lag_seconds = max(self._worst_lag_seconds, seconds)

    def _log(self, *, cpu_percent: float) -> None:
        log.info(
            "resource usage",
            memory_rss_bytes=memory_rss_bytes(),
            cpu_percent=cpu_percent,
            open_file_descriptors=open_file_descriptors(),
            **asdict(Load.of(self._runtime)),
            event_loop_lag=format_duration(self._worst_lag_seconds),
            log_lines_dropped=self._runtime.output.dropped,
        )
        self._worst_lag_seconds = 0.0


def memory_rss_bytes() -> int:
    """Return the memory that is resident now; where there is no /proc, the most that ever was."""
    with contextlib.suppress(OSError):
        return int((_PROCESS / "statm").read_text().split()[1]) * resource.getpagesize()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def open_file_descriptors() -> int | None:
    """Return how many are open, or None where there is no /proc. From Linux 6.2 on that needs no list of thousands."""
    with contextlib.suppress(OSError):
        descriptors = _PROCESS / "fd"
        return descriptors.stat().st_size or sum(1 for _ in descriptors.iterdir())
    return None
