"""What kopf is told, so that it watches and does nothing else.

Every feature that would write to the cluster is off: no handlers with state, no finalizers, no annotations, no Events, no peering.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import kopf

from chatbot_operator.cluster import PAGE_SIZE, Connection

TOKEN_SECONDS = 300
WORKER_SECONDS = 0.05
"""For which kopf keeps a task and the last event of each object; after a list, of all that there are."""


class _EndlessBackoff:
    """Delays in seconds, without end, and from the start for every request; kopf gives up when they run out."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1, 2)
        while True:
            yield 4


class _NoDiffBase(kopf.DiffBaseStorage):
    """Remembers no last-handled state: nothing here looks at differences, and making it costs a fifth of kopf's CPU."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        return


class _NoProgress(kopf.ProgressStorage):
    """Remembers no handler's progress: there are no handlers with progress."""

    def fetch(self, *, key: Any, body: kopf.Body) -> None:
        return None

    def store(self, *, key: Any, record: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        return

    def purge(self, *, key: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        return

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        return

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


class _EveryTask(Collection[Any]):
    """What kopf must not touch when it ends: by itself it cancels every task of the loop that is younger than it."""

    def __contains__(self, _task: object) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0


EVERY_TASK: Final = _EveryTask()


def connection_info(connection: Connection) -> kopf.ConnectionInfo:
    """Return how kopf logs in, until a token may have been replaced."""
    return kopf.ConnectionInfo(
        server=connection.server,
        ca_path=connection.ca_file,
        certificate_path=connection.certificate_file,
        private_key_path=connection.private_key_file,
        token=connection.token,
        proxy_url=connection.proxy,
        insecure=connection.insecure,
        expiration=datetime.now(UTC) + timedelta(seconds=TOKEN_SECONDS),
    )


def watching_alone(*, watch_timeout_seconds: int, request_timeout_seconds: float) -> kopf.OperatorSettings:
    """Return settings with which kopf lists, watches, tries again without end, and does nothing else."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.watching.server_timeout = watch_timeout_seconds
    settings.watching.client_timeout = watch_timeout_seconds + 30
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = PAGE_SIZE
    settings.queueing.idle_timeout = WORKER_SECONDS
    settings.networking.request_timeout = request_timeout_seconds
    settings.networking.error_backoffs = _EndlessBackoff()  # re-iterable, but without a length on purpose
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    settings.process.ultimate_exiting_timeout = None
    return settings
