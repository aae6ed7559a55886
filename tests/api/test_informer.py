import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from chatbot_operator import informer as informer_module
from chatbot_operator import names
from chatbot_operator.cache import Cache
from chatbot_operator.cluster import Cluster, Page
from chatbot_operator.informer import Change, Informer
from chatbot_operator.resource import API_VERSION, KIND, Manifest
from devcluster.controlplane import ControlPlane

pytestmark = pytest.mark.api


def config_map(namespace: str, name: str) -> Manifest:
    metadata = {"namespace": namespace, "name": name, "labels": names.labels("bot")}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {}}


class Changes:
    """Hears of changes and lets a test wait for one."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._more = asyncio.Event()

    def __call__(self, change: Change) -> None:
        self.seen.append(change.key.name)
        self._more.set()

    async def wait_for(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def running(informer: Informer) -> AsyncIterator[None]:
    task = asyncio.create_task(informer.run())
    try:
        async with asyncio.timeout(20):
            await informer.first_lists.wait()
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_informer_is_complete_once_everything_owned_is_in_the_cache(cluster: Cluster, namespace: str) -> None:
    await cluster.create(config_map(namespace, "owned"))
    await cluster.create({**config_map(namespace, "foreign"), "metadata": {"namespace": namespace, "name": "foreign"}})
    cache = Cache()
    informer = Informer(cluster, cache, on_change=Changes(), namespaces=(namespace,))

    assert not informer.first_lists.complete
    async with running(informer):
        assert [item["metadata"]["name"] for item in cache.all("ConfigMap")] == ["owned"]


async def test_changes_and_deletions_reach_the_cache(cluster: Cluster, namespace: str) -> None:
    cache, changes = Cache(), Changes()
    async with running(Informer(cluster, cache, on_change=changes, namespaces=(namespace,))):
        created = await cluster.create(config_map(namespace, "child"))
        await changes.wait_for(lambda: cache.get("ConfigMap", namespace, "child"))

        await cluster.delete(created)
        await changes.wait_for(lambda: cache.get("ConfigMap", namespace, "child") is None)

    assert changes.seen == ["child", "child"]


async def test_ghost_is_dropped_by_the_next_list(cluster: Cluster, namespace: str) -> None:
    cache, changes = Cache(), Changes()
    ghost = await cluster.create(config_map(namespace, "ghost"))
    await cluster.delete(ghost)
    cache.put(ghost)

    async with running(Informer(cluster, cache, on_change=changes, namespaces=(namespace,))):
        assert cache.get("ConfigMap", namespace, "ghost") is None
        assert changes.seen == ["ghost"]


async def test_expired_version_leads_to_a_new_list(
    cluster: Cluster, namespace: str, control_plane_with_crd: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(informer_module, "OWNED_KINDS", (KIND,))  # its versions begin with its CRD, so an early one is expired
    cache, changes, lists = Cache(), Changes(), 0
    pages = cluster.pages

    async def pages_with_an_old_version_first(kind: str, *, namespace: str | None, selector: str) -> AsyncIterator[Page]:
        nonlocal lists
        lists += 1
        first = lists == 1
        async for page in pages(kind, namespace=namespace, selector=selector):
            yield page._replace(version="1") if first else page

    monkeypatch.setattr(cluster, "pages", pages_with_an_old_version_first)
    metadata = {"namespace": namespace, "name": "new", "labels": names.labels("bot")}

    async with running(Informer(cluster, cache, on_change=changes, namespaces=(namespace,))):
        await cluster.create({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": {}})
        await changes.wait_for(lambda: "new" in changes.seen)

    assert lists == 2


async def test_resync_lists_again_without_any_event(cluster: Cluster, namespace: str) -> None:
    cache, changes = Cache(), Changes()
    informer = Informer(cluster, cache, on_change=changes, namespaces=(namespace,), resync_interval_seconds=1, watch_timeout_seconds=1)

    async with running(informer):
        ghost = await cluster.create(config_map(namespace, "ghost"))
        await changes.wait_for(lambda: "ghost" in changes.seen)
        await cluster.delete(ghost)
        await changes.wait_for(lambda: cache.get("ConfigMap", namespace, "ghost") is None)
        cache._tombstones.clear()
        cache._listed_at.clear()
        cache.put(ghost)  # as if its deletion had been missed

        await changes.wait_for(lambda: changes.seen.count("ghost") == 3)
        assert cache.get("ConfigMap", namespace, "ghost") is None
