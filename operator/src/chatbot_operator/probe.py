"""Polls the pods' reports: every resource in one burst a round, resources that are not Ready or that changed in between too.

The pods are untrusted: an answer is bounded in size and time, nothing is followed, unpacked or kept but a parsed report.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import aiohttp
import structlog

from chatbot_operator import errors, fleet, names
from chatbot_operator.cache import Cache, ResourceKey
from chatbot_operator.fleet import MAX_REPORT_BYTES, FleetHealth, PodReport
from chatbot_operator.resource import KIND, Manifest

REPORT_PORT = 9090
PROMPT_SECONDS = 5.0
"""Between two polls of a resource that is not Ready."""
SETTLE_SECONDS = 0.5
"""From a change of an EndpointSlice to the poll, since changes come in groups."""

logger = structlog.get_logger()


@dataclass(frozen=True)
class Target:
    """A pod that should report."""

    uid: str
    address: str


def targets(endpoint_slices: Iterable[Manifest]) -> tuple[Target, ...]:
    """Return the pods behind `endpoint_slices`: unready ones too, terminating ones not, each pod once."""
    found: dict[str, Target] = {}
    for endpoint_slice in endpoint_slices:
        for endpoint in endpoint_slice.get("endpoints") or ():
            uid = (endpoint.get("targetRef") or {}).get("uid")
            if uid and endpoint.get("addresses") and not (endpoint.get("conditions") or {}).get("terminating"):
                found.setdefault(uid, Target(uid, endpoint["addresses"][0]))
    return tuple(found.values())


def endpoint_slices(cache: Cache, key: ResourceKey) -> tuple[Manifest, ...]:
    """Return the slices of the Service of the resource."""
    service = cache.get("Service", key.namespace, names.service(key.name))
    if service is None:
        return ()
    return tuple(child for child in cache.children(service["metadata"]["uid"]) if child["kind"] == "EndpointSlice")


def is_ready(manifest: Manifest) -> bool:
    """Tell whether the resource says that it is Ready."""
    conditions = (manifest.get("status") or {}).get("conditions") or ()
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


class Prober:
    """Keeps the fleet health of every resource that has pods."""

    def __init__(
        self,
        cache: Cache,
        *,
        on_change: Callable[[ResourceKey], None],
        interval_seconds: float = 15,
        timeout_seconds: float = 2,
        concurrency: int = 64,
        port: int = REPORT_PORT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = cache
        self._on_change = on_change
        self._interval_seconds = interval_seconds
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._concurrency = concurrency
        self._port = port
        self._clock = clock
        self._slots = asyncio.Semaphore(concurrency)
        self._health: dict[ResourceKey, FleetHealth] = {}
        self._due: dict[ResourceKey, float] = {}
        self._polling: dict[ResourceKey, asyncio.Task[None]] = {}
        self._nudged = asyncio.Event()

    def health(self, key: ResourceKey) -> FleetHealth | None:
        """Return what the pods of the resource last said, or None before the first poll."""
        return self._health.get(key)

    def nudge(self, key: ResourceKey) -> None:
        """Poll the pods of the resource soon: they changed."""
        self._plan(key, self._clock() + SETTLE_SECONDS)
        self._nudged.set()

    async def run(self) -> None:
        """Poll until cancelled; what was heard in an earlier run counts no more."""
        self._health.clear()
        connector = aiohttp.TCPConnector(limit=self._concurrency, keepalive_timeout=4 * self._interval_seconds, use_dns_cache=False)
        async with (
            aiohttp.ClientSession(
                connector=connector,
                timeout=self._timeout,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": names.FIELD_MANAGER},
            ) as session,
            asyncio.TaskGroup() as group,
        ):
            round_at = self._clock()
            while True:
                now = self._clock()
                if now >= round_at:
                    due = {ResourceKey(m["metadata"]["namespace"], m["metadata"]["name"]) for m in self._cache.all(KIND)}
                    for key in self._health.keys() - due:
                        del self._health[key]
                    round_at = now + self._interval_seconds * random.uniform(0.9, 1.1)  # noqa: S311 (spreads load, guards nothing)
                else:
                    due = {key for key, at in self._due.items() if at <= now}
                for key in due:
                    self._due.pop(key, None)
                    if key not in self._polling:
                        self._polling[key] = group.create_task(self._poll(session, key))
                await self._wait(min([round_at, *self._due.values()]))

    async def _wait(self, until: float) -> None:
        self._nudged.clear()
        try:
            async with asyncio.timeout(max(0.0, until - self._clock())):
                await self._nudged.wait()
        except TimeoutError:
            return

    def _plan(self, key: ResourceKey, at: float) -> None:
        self._due[key] = min(at, self._due.get(key, at))

    async def _poll(self, session: aiohttp.ClientSession, key: ResourceKey) -> None:
        """Ask every pod of one resource and merge what they say."""
        try:
            resource = self._cache.get(KIND, *key)
            pods = targets(endpoint_slices(self._cache, key))
            if resource is None or (not pods and key not in self._health):
                return
            answers = await asyncio.gather(*(self._ask(session, pod) for pod in pods))
            self._store(key, [report for report in answers if report is not None], expected=len(pods))
            if pods and not is_ready(self._cache.get(KIND, *key) or resource):
                self._plan(key, self._clock() + min(PROMPT_SECONDS, self._interval_seconds))
                self._nudged.set()
        finally:
            del self._polling[key]

    def _store(self, key: ResourceKey, reports: Sequence[PodReport], *, expected: int) -> None:
        health = fleet.merge(reports, expected=expected)
        if health != self._health.get(key):
            self._health[key] = health
            self._on_change(key)

    async def _ask(self, session: aiohttp.ClientSession, pod: Target) -> PodReport | None:
        host = f"[{pod.address}]" if ":" in pod.address else pod.address
        async with self._slots:
            try:
                async with session.get(f"http://{host}:{self._port}/report", allow_redirects=False) as response:
                    body = await _bounded_body(response)
                return _verified(response.status, body, pod)
            except (aiohttp.ClientError, OSError, errors.ReportInvalid) as error:
                logger.debug("no report", pod_uid=pod.uid, address=pod.address, error=str(error) or type(error).__name__)
                return None


def _verified(status: int, body: bytes, pod: Target) -> PodReport:
    """Return the report, or raise ReportInvalid."""
    if status != 200:  # noqa: PLR2004
        raise errors.ReportInvalid(f"HTTP {status}")
    report = PodReport.parse(body)
    if report.pod.uid != pod.uid:
        raise errors.ReportInvalid(f"the report is of another pod, {report.pod.uid}")
    return report


async def _bounded_body(response: aiohttp.ClientResponse) -> bytes:
    """Return the body, or one byte more than a report may have when it is longer than that."""
    body = b""
    while len(body) <= MAX_REPORT_BYTES:
        chunk = await response.content.read(MAX_REPORT_BYTES + 1 - len(body))
        if not chunk:
            return body
        body += chunk
    response.close()
    return body
