"""What kopf costs, and what it misses: it keeps nothing of what it has handed over, and is not left waiting for what it did not find."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chatbot_operator import watch as watch_module
from chatbot_operator.cache import Cache, ResourceKey
from chatbot_operator.cluster import Cluster
from chatbot_operator.first_lists import FirstLists
from chatbot_operator.resource import API_VERSION, KIND, Manifest
from chatbot_operator.watch import Watch

pytestmark = pytest.mark.api

FAR_LESS_THAN_BY_DEFAULT_SECONDS = 3


def chatbot(namespace: str, name: str) -> Manifest:
    spec = {"replicas": 0, "credentials": {"secretRef": {"name": "chatbot-secrets"}}}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"namespace": namespace, "name": name}, "spec": spec}


def workers() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if task.get_name().startswith("worker for")]


@asynccontextmanager
async def running(watch: Watch) -> AsyncIterator[None]:
    task = asyncio.create_task(watch.run())
    try:
        async with asyncio.timeout(20):
            yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_kopf_keeps_no_task_and_no_object_of_what_it_listed(cluster: Cluster, namespace: str) -> None:
    for name in ("first", "second"):
        await cluster.create(chatbot(namespace, name))
    watch = Watch(cluster, Cache(), on_change=lambda _key, _news: None, on_resync=lambda _key: None, namespaces=(namespace,))

    async with running(watch):
        while not (begun := workers()):  # noqa: ASYNC110 (no event tells of it)
            await asyncio.sleep(0)
        _, left = await asyncio.wait(begun, timeout=FAR_LESS_THAN_BY_DEFAULT_SECONDS)
        assert not left


async def test_kopf_that_did_not_find_the_kind_looks_for_it_again(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "DISCOVERY_SECONDS", 1.0)
    monkeypatch.setattr(watch_module, "PLURAL", "what-is-not-served-yet")
    seen, starts = asyncio.Queue[ResourceKey](), asyncio.Queue[None]()
    watch = Watch(
        cluster,
        Cache(),
        on_change=lambda key, _news: seen.put_nowait(key),
        on_resync=lambda _key: None,
        after_start=lambda: starts.put_nowait(None),
        namespaces=(namespace,),
    )

    async with running(watch):
        await starts.get()
        monkeypatch.undo()
        await starts.get()
        await cluster.create(chatbot(namespace, "new"))

        assert await seen.get() == ResourceKey(namespace, "new")


async def test_namespace_is_looked_at_only_when_what_its_resources_own_was(cluster: Cluster, namespace: str) -> None:
    await cluster.create(chatbot(namespace, "first"))
    owned = FirstLists(("Deployment",), ("default", namespace))
    owned.succeeded("Deployment", "default")
    seen = asyncio.Queue[ResourceKey]()
    watch = Watch(
        cluster,
        Cache(),
        on_change=lambda key, _news: seen.put_nowait(key),
        on_resync=lambda _key: None,
        owned=owned,
        namespaces=("default", namespace),
    )

    async with running(watch):
        await watch.first_lists.wait()
        assert seen.empty()

        owned.succeeded("Deployment", namespace)
        assert await seen.get() == ResourceKey(namespace, "first")
