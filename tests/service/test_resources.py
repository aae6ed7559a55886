import asyncio
import os
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import pytest
from structlog.testing import capture_logs

from chatbot_service.conversation import Turn
from chatbot_service.exposition import Exposition
from chatbot_service.files import SystemPrompt
from chatbot_service.metrics import Metrics
from chatbot_service.output import Output
from chatbot_service.resources import Resources, memory_rss_bytes, open_file_descriptors
from chatbot_service.runtime import Runtime
from chatbot_service.settings import Settings
from chatbot_service.upstream import Upstream
from tests.service.peers import CHUNKED, OK, Peer, serving

TICK_SECONDS = 0.001


@pytest.fixture
def runtime() -> Runtime:
    return Runtime.create(Settings.from_environment({}), SystemPrompt(None))


async def run_until(resources: Resources, condition: Callable[[], bool]) -> None:
    task = asyncio.create_task(resources.run())
    while not condition():  # noqa: ASYNC110  the condition is of the process, not of a task
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def lines_of(resources: Resources, count: int) -> list[Any]:
    with capture_logs() as lines:
        await run_until(resources, lambda: len(lines) >= count)
    return lines[:count]


async def test_a_line_tells_what_the_process_takes(runtime: Runtime) -> None:
    runtime.connections = {1, 2, 3}
    runtime.slots.in_flight = 2

    [line] = await lines_of(Resources(runtime, interval_seconds=0, tick_seconds=TICK_SECONDS), 1)

    assert (line["event"], line["log_level"]) == ("resource usage", "info")
    assert (line["open_connections"], line["in_flight"], line["queued"]) == (3, 2, 0)
    assert (line["upstream_connections_open"], line["upstream_connections_idle"]) == (0, 0)
    assert line["memory_rss_bytes"] > 10_000_000
    assert line["open_file_descriptors"] > 3
    assert line["log_lines_dropped"] == 0
    assert line["event_loop_lag"].endswith("s")


async def test_a_line_tells_which_connections_to_the_api_are_in_use_and_which_are_kept(runtime: Runtime) -> None:
    async def handle(peer: Peer) -> None:
        is_stream = (await peer.request()).startswith(b"POST")
        peer.send(CHUNKED if is_stream else OK)
        await peer.left()

    async with serving(handle) as server:
        runtime.upstream = Upstream(Settings.from_environment({"ANTHROPIC_BASE_URL": server.url}))
        with closing(await runtime.upstream.open("claude", (Turn("user", "Hello"),), system=None)):
            await runtime.upstream.check("demo")
            [line] = await lines_of(Resources(runtime, interval_seconds=0, tick_seconds=TICK_SECONDS), 1)
        await runtime.upstream.close()

    assert (line["upstream_connections_open"], line["upstream_connections_idle"]) == (2, 1)


async def test_cpu_is_what_was_used_since_the_last_line(runtime: Runtime) -> None:
    started = asyncio.get_running_loop().time()

    def half_a_core() -> float:
        return (asyncio.get_running_loop().time() - started) / 2

    lines = await lines_of(Resources(runtime, interval_seconds=0.01, tick_seconds=TICK_SECONDS, cpu_clock=half_a_core), 3)

    assert [line["cpu_percent"] for line in lines] == pytest.approx([50, 50, 50], abs=2)


async def test_a_line_comes_once_an_interval(runtime: Runtime) -> None:
    ticks = runtime.metrics

    with capture_logs() as lines:
        await run_until(Resources(runtime, interval_seconds=3600, tick_seconds=TICK_SECONDS), lambda: lag_count(ticks) > 20)

    assert lines == []


async def test_a_blocked_event_loop_shows_as_lag(runtime: Runtime) -> None:
    def block() -> bool:
        time.sleep(0.02)
        return lag_count(runtime.metrics) >= 2

    with capture_logs() as lines:
        await run_until(Resources(runtime, interval_seconds=0, tick_seconds=TICK_SECONDS), block)

    assert runtime.loop_lag_seconds > 0.01
    assert lines[-1]["event_loop_lag"].endswith("ms")


async def test_log_lines_that_wait_are_written_though_nothing_else_is_logged(runtime: Runtime) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    runtime.output = Output(writer)
    runtime.output.write(b"x" * 100_000)
    os.read(reader, 100_000)

    await run_until(Resources(runtime, tick_seconds=TICK_SECONDS), lambda: lag_count(runtime.metrics) > 0)

    assert os.read(reader, 100_000).endswith(b"x\n")
    os.close(reader)
    os.close(writer)


def test_memory_and_descriptors_are_those_of_now() -> None:
    before = memory_rss_bytes(), open_file_descriptors()

    ballast = b"x" * 50_000_000
    descriptors = [os.dup(1) for _ in range(10)]
    after = memory_rss_bytes(), open_file_descriptors()
    for descriptor in descriptors:
        os.close(descriptor)

    assert after[0] - before[0] > 0.9 * len(ballast)
    assert before[1] is not None
    assert after[1] == before[1] + 10


def lag_count(metrics: Metrics) -> float:
    count = Exposition(metrics).registry.get_sample_value("chatbot_event_loop_lag_seconds_count")
    assert count is not None
    return count
