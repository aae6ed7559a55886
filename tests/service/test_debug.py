"""The measurements in this process, and the endpoints of a service with DEBUG_ENDPOINTS on."""

import asyncio
import contextlib
import re
import signal
import threading
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from chatbot_service import debug
from tests.conftest import Simulator
from tests.service.conftest import Service, start_service


class Canary:
    """A local variable that must show up nowhere."""

    def __repr__(self) -> str:
        return "canary"


async def innermost(done: asyncio.Event) -> None:
    canary = Canary()
    await done.wait()
    del canary


async def outermost(done: asyncio.Event) -> None:
    await innermost(done)


async def test_a_stack_goes_from_the_task_to_what_it_waits_for() -> None:
    done = asyncio.Event()
    tasks = [asyncio.create_task(outermost(done)) for _ in range(3)]
    await asyncio.sleep(0)

    shown = debug.stacks()
    done.set()
    await asyncio.gather(*tasks)

    [block] = [block for block in shown.split("\n\n") if block.startswith("3 tasks")]
    assert re.findall(r"\.py:\d+ (\S+)$", block, flags=re.MULTILINE) == ["outermost", "innermost", "Event.wait"]
    assert "thread MainThread" in shown
    assert "canary" not in shown


async def test_stacks_of_thousands_of_tasks_stay_short() -> None:
    done = asyncio.Event()
    tasks = [asyncio.create_task(innermost(done)) for _ in range(5_000)]
    await asyncio.sleep(0)

    shown = debug.stacks()
    done.set()
    await asyncio.gather(*tasks)

    assert "5000 tasks" in shown
    assert len(shown) < 20_000


async def test_every_thread_is_shown() -> None:
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait, name="a-thread-of-ours")
    thread.start()

    shown = debug.stacks()
    ended.set()
    thread.join()

    assert "thread a-thread-of-ours" in shown


def burn(seconds: float) -> None:
    canary = Canary()
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(number * number for number in range(100))
    del canary


async def busy() -> None:
    while True:
        burn(0.02)
        await asyncio.sleep(0)


async def test_a_profile_shows_who_uses_the_cpu() -> None:
    task = asyncio.create_task(busy())

    samples = await debug.profile(0.5)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

    assert samples.total() >= 3
    ours = re.search(r"^ +(\d+) +(\d+)  test_debug:burn$", debug.table(samples), flags=re.MULTILINE)
    assert ours is not None
    assert int(ours[2]) >= 0.8 * samples.total()
    assert all(re.fullmatch(r"\S.*;?.+ \d+", line) for line in debug.collapsed(samples).splitlines())
    assert "test_debug:busy;test_debug:burn" in debug.collapsed(samples)
    assert "canary" not in debug.collapsed(samples) + debug.table(samples)


async def test_a_process_that_rests_has_no_samples() -> None:
    samples = await debug.profile(0.05)

    assert samples.total() <= 2
    assert debug.collapsed(samples).count("\n") <= 2
    assert signal.getsignal(signal.SIGPROF) is signal.SIG_IGN  # a late one would end the process


async def test_a_heap_trace_shows_what_was_kept_and_where_it_was_made() -> None:
    kept: list[bytes] = []

    async def keep() -> None:
        await asyncio.sleep(0)
        kept.append(b"canary" * 200_000)

    task = asyncio.create_task(keep())
    shown = await debug.heap(0.01)
    await task

    first = shown.split("\n\n")[1]
    assert not tracemalloc.is_tracing()
    assert first.startswith("1200")
    assert "test_debug.py" in first
    assert "canary" not in shown


@pytest.fixture(scope="module")
def debugged(_session_simulator: Simulator) -> Iterator[Service]:
    with start_service(_session_simulator, DEBUG_ENDPOINTS="true", RATE_LIMIT_ENABLED="false") as service:
        yield service


def get(service: Service, path: str) -> tuple[int, str]:
    reply = service.request("GET", path, admin=True)
    return reply.status, reply.body.decode()


@pytest.mark.programs
def test_the_endpoints_answer_in_text(debugged: Service) -> None:
    stacks, profile, collapsed, heap = (
        get(debugged, path)
        for path in (
            "/debug/stacks",
            "/debug/profile?seconds=0.1",
            "/debug/profile?seconds=0.1&format=collapsed",
            "/debug/heap?seconds=0.1",
        )
    )

    assert [status for status, _ in (stacks, profile, collapsed, heap)] == [200] * 4
    assert "Resources.run" in stacks[1]
    assert "samples" in profile[1]
    assert "blocks" in heap[1]


@pytest.mark.programs
def test_a_service_is_profiled_and_traced_under_load_without_harm(debugged: Service) -> None:
    statuses: set[int] = set()
    ended = threading.Event()

    def load() -> None:
        while not ended.is_set():
            statuses.add(debugged.chat(stream=True).status)

    callers = [threading.Thread(target=load) for _ in range(8)]
    for caller in callers:
        caller.start()
    try:
        debugged.wait_until(lambda: bool(statuses), seconds=10)
        _, profile = get(debugged, "/debug/profile?seconds=2&format=collapsed")
        _, heap = get(debugged, "/debug/heap?seconds=0.5")
    finally:
        ended.set()
        for caller in callers:
            caller.join()

    assert statuses == {200}
    assert "chat:Chat._stream" in profile
    assert "/chatbot_service/" in heap


@pytest.mark.programs
@pytest.mark.parametrize("seconds", ["0", "-1", "61", "nan", "inf", "ten"])
@pytest.mark.parametrize("path", ["/debug/heap", "/debug/profile"])
def test_a_measurement_is_bounded(debugged: Service, path: str, seconds: str) -> None:
    reply = debugged.request("GET", f"{path}?seconds={seconds}", admin=True)

    assert (reply.status, reply.headers["content-type"]) == (400, "application/problem+json")


@pytest.mark.programs
def test_one_measurement_at_a_time(debugged: Service) -> None:
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(get(debugged, "/debug/heap?seconds=3")[0]))
    thread.start()

    debugged.wait_until(lambda: "Debug.heap" in get(debugged, "/debug/stacks")[1], seconds=10)
    busy_reply = debugged.request("GET", "/debug/profile?seconds=1", admin=True)
    thread.join()

    assert (busy_reply.status, busy_reply.headers["content-type"]) == (409, "application/problem+json")
    assert results == [200]
    assert get(debugged, "/debug/profile?seconds=0.01")[0] == 200


@pytest.mark.programs
def test_the_service_port_has_no_debug_endpoints(debugged: Service) -> None:
    assert debugged.request("GET", "/debug/stacks").status == 404


@pytest.mark.parametrize("path", ["/debug/stacks", "/debug/heap", "/debug/profile"])
def test_they_are_off_by_default(service: Service, path: str) -> None:
    reply = service.request("GET", path, admin=True)

    assert (reply.status, reply.headers["content-type"]) == (404, "application/problem+json")
