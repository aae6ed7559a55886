"""Leader election by a coordination.k8s.io Lease: at most one process writes at a time, the others stand by.

The rules are client-go's (tools/leaderelection): a holder that was not seen to renew for its lease duration, measured on our own
clock from when we last saw a change, may be replaced; the leader itself stops writing earlier, when it could not renew. Clocks of
different machines are never compared. Stricter than client-go's: a Lease that was seen and is gone counts as held for as long. One
that was never seen is taken at once, since nothing tells a first start from a start right after somebody deleted it.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from chatbot_operator import errors
from chatbot_operator.cluster import Cluster
from chatbot_operator.resource import Manifest

RETRY_SECONDS = 1.0

logger = structlog.get_logger()


def _micro_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _version(lease: Manifest | None) -> str | None:
    return lease["metadata"]["resourceVersion"] if lease else None


class Elector:
    """One candidate for one Lease."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        identity: str,
        namespace: str,
        name: str,
        duration_seconds: float = 15,
        renew_seconds: float = 5,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._cluster = cluster
        self._identity = identity
        self._namespace = namespace
        self._name = name
        self._duration_seconds = duration_seconds
        self._renew_seconds = min(renew_seconds, duration_seconds / 3)
        self._deadline_seconds = duration_seconds * 2 / 3
        self._clock = clock
        self._wall_clock = wall_clock
        self._sleep = sleep
        self._lease: Manifest | None = None
        self._seen_at = -math.inf
        self._renewed_at: float | None = None
        self._problem = ""

    def leads(self) -> bool:
        """Tell whether this process may write now: surely before any other one may take over."""
        return self._renewed_at is not None and self._clock() - self._renewed_at < self._deadline_seconds

    async def acquire(self) -> None:
        """Return when this process has become the leader."""
        while not await self._try_to_lead():
            await self._sleep(min(RETRY_SECONDS, self._renew_seconds))
        logger.info("lease acquired", lease=self._name, identity=self._identity)

    async def hold(self) -> None:
        """Renew the Lease for as long as that succeeds, then raise LeadershipLost."""
        while True:
            await self._sleep(self._renew_seconds)
            while not await self._try_to_renew():
                if not self.leads():
                    self._renewed_at = None
                    raise errors.LeadershipLost(f"the lease {self._namespace}/{self._name} was not renewed in time: {self._problem}")
                await self._sleep(min(1.0, self._renew_seconds / 2))

    async def release(self) -> None:
        """Give the Lease up, so that a standby takes over at once; a write of ours that was cut off may have changed it, too."""
        self._renewed_at = None
        try:
            async with asyncio.timeout(self._renew_seconds):
                while await self._names_us():
                    with suppress(errors.ObjectConflict):
                        await self._write(holder="", duration_seconds=1)
                        logger.info("lease released", lease=self._name)
                        return
        except (errors.ClusterError, TimeoutError) as error:
            logger.warning("lease not released", lease=self._name, error=str(error) or "no answer in time")

    async def _names_us(self) -> bool:
        """Look whether the Lease says that this process holds it; False without a look when it was never seen."""
        if self._lease is None:
            return False
        await self._look()
        return self._holder == self._identity

    async def _try_to_lead(self) -> bool:
        try:
            await self._look()
            if not self._is_free():
                return False
            await self._write(holder=self._identity, duration_seconds=self._duration_seconds)
        except errors.ObjectConflict:
            self._seen_at = self._clock()  # another candidate was quicker
            return False
        except errors.ClusterError as error:
            logger.debug("lease not acquired", lease=self._name, error=str(error))
            return False
        return True

    async def _try_to_renew(self) -> bool:
        try:
            await self._write(holder=self._identity, duration_seconds=self._duration_seconds)
        except errors.ObjectConflict as error:
            self._problem = str(error)
            await self._look_who_leads()
            return False
        except errors.ClusterError as error:
            self._problem = str(error)
            logger.debug("lease not renewed, retrying", lease=self._name, error=str(error))
            return False
        return True

    async def _look_who_leads(self) -> None:
        """Look at the Lease after a conflict: our own write, whose answer was lost, or another leader, or nothing any more."""
        try:
            await self._look()
        except errors.ClusterError:
            return
        if self._lease is not None and self._holder != self._identity:
            self._renewed_at, self._problem = None, f"{self._holder or 'nobody'} holds it"

    async def _look(self) -> None:
        """Read the Lease, and note when it was seen to change; to be deleted is a change, too."""
        try:
            lease = await self._cluster.read("Lease", self._namespace, self._name)
        except errors.ObjectNotFound:
            lease = None
        if _version(lease) != _version(self._lease):
            self._seen_at = self._clock()
        self._lease = lease

    @property
    def _spec(self) -> Manifest:
        return (self._lease or {}).get("spec") or {}

    @property
    def _holder(self) -> str:
        return self._spec.get("holderIdentity") or ""

    def _is_free(self) -> bool:
        """Tell whether nobody else can be leading, by what was last seen."""
        if self._lease is not None and self._holder in ("", self._identity):
            return True
        duration_seconds: float = self._spec.get("leaseDurationSeconds", self._duration_seconds)
        return self._clock() - self._seen_at > duration_seconds

    async def _write(self, *, holder: str, duration_seconds: float) -> None:
        started = self._clock()
        now = _micro_time(self._wall_clock())
        old = self._spec
        changed = old.get("holderIdentity") != holder
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": round(duration_seconds),
            "acquireTime": now if changed else old.get("acquireTime", now),
            "renewTime": now,
            "leaseTransitions": old.get("leaseTransitions", 0) + (1 if changed and holder and self._lease else 0),
        }
        metadata = {"namespace": self._namespace, "name": self._name}
        manifest: Manifest = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        try:
            async with asyncio.timeout(self._renew_seconds):
                if self._lease is None:
                    self._lease = await self._cluster.create(manifest)
                else:
                    metadata["resourceVersion"] = self._lease["metadata"]["resourceVersion"]
                    self._lease = await self._cluster.replace(manifest)
        except TimeoutError as error:
            raise errors.ClusterUnavailable(f"the lease {self._namespace}/{self._name} could not be written in time") from error
        self._renewed_at = started if holder else None
