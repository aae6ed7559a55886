"""The worker's boundary; what a reconcile does to a cluster is tested on a real API server, in tests/api."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from chatbot_operator import errors
from chatbot_operator.cache import ResourceKey
from chatbot_operator.queue import Queue
from chatbot_operator.worker import Result, work

KEY = ResourceKey("team", "bot")


class Scripted:
    """Answers each reconcile with the next entry of a script."""

    def __init__(self, *script: float | Exception | None) -> None:
        self._script = list(script)
        self.over = asyncio.Event()

    async def reconcile(self, key: ResourceKey) -> float | None:  # noqa: ARG002 (the script knows)
        outcome = self._script.pop(0)
        if not self._script:
            self.over.set()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture
def queue() -> Queue[ResourceKey]:
    return Queue(backoff_base_seconds=0.001)


async def run(queue: Queue[ResourceKey], reconciler: Scripted) -> tuple[list[Result], list[Any]]:
    """Work until the script is over; return the results and the log."""
    results: list[Result] = []
    queue.add(KEY)
    with capture_logs() as log:
        worker = asyncio.create_task(work(queue, reconciler, observe=lambda result, _seconds: results.append(result)))
        async with asyncio.timeout(10):
            over = asyncio.create_task(reconciler.over.wait())
            await asyncio.wait({worker, over}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)
        worker.cancel()
        over.cancel()
        await asyncio.gather(worker, over, return_exceptions=True)
    return results, log


async def test_success_is_not_repeated_by_itself(queue: Queue[ResourceKey]) -> None:
    results, log = await run(queue, Scripted(None))

    assert results == ["success"]
    assert queue.pop() is None
    assert log == []


async def test_result_in_seconds_is_repeated_after_them(queue: Queue[ResourceKey]) -> None:
    results, _ = await run(queue, Scripted(0.001, None))

    assert results == ["requeue_after", "success"]


async def test_unavailable_api_is_tried_again_with_one_warning_and_no_trace(queue: Queue[ResourceKey]) -> None:
    results, log = await run(queue, Scripted(errors.ClusterUnavailable("PATCH /x: HTTP 503"), None))

    assert results == ["error", "success"]
    (line,) = log
    assert (line["log_level"], line["event"], line["error"]) == ("warning", "reconcile postponed", "PATCH /x: HTTP 503")
    assert "exc_info" not in line


async def test_conflict_is_tried_again_without_a_warning(queue: Queue[ResourceKey]) -> None:
    results, log = await run(queue, Scripted(errors.ObjectConflict("modified"), None))

    assert results == ["error", "success"]
    assert [line["log_level"] for line in log] == ["debug"]


async def test_unforeseen_error_is_logged_with_its_trace_and_stays_with_its_key(queue: Queue[ResourceKey]) -> None:
    results, log = await run(queue, Scripted(ZeroDivisionError(), None))

    assert results == ["panic", "success"]
    (line,) = log
    assert (line["log_level"], line["event"], line["exc_info"]) == ("error", "reconcile failed", True)


async def test_spec_that_cannot_be_read_is_not_tried_again(queue: Queue[ResourceKey]) -> None:
    results, log = await run(queue, Scripted(errors.SpecInvalid("spec.replicas: not a number")))

    assert results == ["terminal"]
    assert queue.pop() is None
    assert [line["log_level"] for line in log] == ["debug"]


async def test_terminating_namespace_is_no_error_and_not_tried_again(queue: Queue[ResourceKey]) -> None:
    results, log = await run(queue, Scripted(errors.RequestRefused("being terminated", status_code=403, reason="NamespaceTerminating")))

    assert results == ["success"]
    assert queue.pop() is None
    assert log == []


async def test_lost_leadership_ends_the_worker_and_keeps_the_key(queue: Queue[ResourceKey]) -> None:
    queue.add(KEY)

    with pytest.raises(errors.LeadershipLost):
        await work(queue, Scripted(errors.LeadershipLost("not the leader")))

    assert queue.pop() == KEY
