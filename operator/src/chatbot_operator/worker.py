"""The worker: takes keys, reconciles them one after the other, and plans when each is due again. An error stays with its key."""

import time
import uuid
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

import structlog

from chatbot_operator import errors
from chatbot_operator.cache import ResourceKey
from chatbot_operator.queue import Lane, Queue

logger = structlog.get_logger()


class Result(StrEnum):
    """How a reconcile ended."""

    SUCCESS = "success"
    REQUEUE_AFTER = "requeue_after"
    ERROR = "error"
    TERMINAL = "terminal"
    """An error that only a change of the resource can mend."""
    PANIC = "panic"
    """An error that nobody foresaw."""


class Reconciles(Protocol):
    """What a worker needs of a reconciler."""

    async def reconcile(self, key: ResourceKey) -> float | None:
        """Bring one resource to what is desired; return in how many seconds to look again, or None."""


async def work(
    queue: Queue[ResourceKey],
    reconciler: Reconciles,
    *,
    observe: Callable[[Result, float], None] = lambda _result, _seconds: None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Take keys and reconcile them, one after the other, until cancelled or no longer the leader."""
    while True:
        key = await queue.get()
        started = clock()
        try:
            with structlog.contextvars.bound_contextvars(namespace=key.namespace, name=key.name, reconcile_id=uuid.uuid4().hex[:8]):
                result = await _reconcile_once(queue, reconciler, key)
            observe(result, clock() - started)
        finally:
            queue.done(key)


async def _reconcile_once(queue: Queue[ResourceKey], reconciler: Reconciles, key: ResourceKey) -> Result:
    """Reconcile one key and plan its next time; the boundary behind which an error is this key's alone."""
    try:
        seconds = await reconciler.reconcile(key)
    except errors.LeadershipLost:
        queue.add(key)
        raise
    except errors.SpecInvalid as error:
        queue.forget(key)
        logger.debug("spec invalid", error=str(error))
        return Result.TERMINAL
    except errors.ClusterError as error:
        return _postponed(queue, key, error)
    except Exception:
        logger.exception("reconcile failed", retry_in_seconds=round(queue.backoff(key), 1))
        return Result.PANIC
    queue.forget(key)
    if seconds is None:
        return Result.SUCCESS
    queue.add_after(key, seconds, lane=Lane.ROUTINE)
    return Result.REQUEUE_AFTER


def _postponed(queue: Queue[ResourceKey], key: ResourceKey, error: errors.ClusterError) -> Result:
    """Try again later what the API server refused, unless the namespace is about to go with everything in it."""
    if error.reason == "NamespaceTerminating":
        queue.forget(key)
        return Result.SUCCESS
    delay = queue.backoff(key, at_least_seconds=error.retry_after_seconds or 0)
    log = logger.debug if isinstance(error, errors.ObjectConflict) else logger.warning
    log("reconcile postponed", error=str(error), error_type=type(error).__name__, retry_in_seconds=round(delay, 1))
    return Result.ERROR
