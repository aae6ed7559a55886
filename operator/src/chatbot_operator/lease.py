"""Leader election by a coordination.k8s.io Lease: at most one process writes at a time, the others stand by.

The rules are client-go's (tools/leaderelection): a holder that was not seen to renew for its lease duration, measured on our own
clock from when we last saw a change, may be replaced; the leader itself stops writing earlier, when it could not renew. Clocks of
different machines are never compared.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog

from chatbot_operator import errors
from chatbot_operator.cluster import Cluster
from chatbot_operator.resource import Manifest

RETRY_SECONDS = 1.0

logger = structlog.get_logger()


def _micro_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


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
        self._seen_at = 0.0
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
        """Give the Lease up, so that a standby takes over at once."""
        if not self.leads() or self._lease is None:
            return
        self._renewed_at = None
        try:
            await self._write(holder="", duration_seconds=1)
        except errors.ClusterError as error:
            logger.warning("lease not released", lease=self._name, error=str(error))
        else:
            logger.info("lease released", lease=self._name)

    async def _try_to_lead(self) -> bool:
        try:
            if not await self._observe():
                return False
            await self._write(holder=self._identity, duration_seconds=self._duration_seconds)
        except errors.ObjectConflict:
            return False  # another candidate was quicker
        except errors.ClusterError as error:
            logger.debug("lease not acquired", lease=self._name, error=str(error))
            return False
        return True

    async def _try_to_renew(self) -> bool:
        try:
            await self._write(holder=self._identity, duration_seconds=self._duration_seconds)
        except errors.ObjectConflict as error:
            self._problem = str(error)
            return await self._still_ours()
        except errors.ClusterError as error:
            self._problem = str(error)
            logger.debug("lease not renewed, retrying", lease=self._name, error=str(error))
            return False
        return True

    async def _still_ours(self) -> bool:
        """Look at the Lease after a conflict: our own write, whose answer was lost, or another leader."""
        try:
            self._lease = await self._cluster.read("Lease", self._namespace, self._name)
        except errors.ObjectNotFound:
            self._lease = None
        except errors.ClusterError:
            return False
        holder = self._lease["spec"].get("holderIdentity") if self._lease else self._identity
        if holder != self._identity:
            self._renewed_at, self._problem = None, f"{holder or 'nobody'} holds it"
        return False

    async def _observe(self) -> bool:
        """Read the Lease; return whether it may be taken."""
        try:
            lease = await self._cluster.read("Lease", self._namespace, self._name)
        except errors.ObjectNotFound:
            self._lease = None
            return True
        known = self._lease
        if known is None or known["metadata"]["resourceVersion"] != lease["metadata"]["resourceVersion"]:
            self._seen_at = self._clock()
        self._lease = lease
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity")
        return holder in (None, "", self._identity) or self._clock() - self._seen_at > spec.get(
            "leaseDurationSeconds", self._duration_seconds
        )

    async def _write(self, *, holder: str, duration_seconds: float) -> None:
        started = self._clock()
        now = _micro_time(self._wall_clock())
        old = (self._lease or {}).get("spec") or {}
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
