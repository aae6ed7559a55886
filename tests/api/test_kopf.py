"""What kopf costs: it is told to keep nothing of what it has handed over."""

import asyncio

import pytest

from chatbot_operator.cache import Cache
from chatbot_operator.cluster import Cluster
from chatbot_operator.resource import API_VERSION, KIND, Manifest
from chatbot_operator.watch import Watch

pytestmark = pytest.mark.api

FAR_LESS_THAN_BY_DEFAULT_SECONDS = 3


def chatbot(namespace: str, name: str) -> Manifest:
    spec = {"replicas": 0, "credentials": {"secretRef": {"name": "chatbot-secrets"}}}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"namespace": namespace, "name": name}, "spec": spec}


def workers() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if task.get_name().startswith("worker for")]


async def test_kopf_keeps_no_task_and_no_object_of_what_it_listed(cluster: Cluster, namespace: str) -> None:
    for name in ("first", "second"):
        await cluster.create(chatbot(namespace, name))
    watch = Watch(cluster, Cache(), on_change=lambda _key, _news: None, on_resync=lambda _key: None, namespaces=(namespace,))
    task = asyncio.create_task(watch.run())
    try:
        async with asyncio.timeout(20):
            while not (begun := workers()):  # noqa: ASYNC110 (no event tells of it)
                await asyncio.sleep(0)
        _, left = await asyncio.wait(begun, timeout=FAR_LESS_THAN_BY_DEFAULT_SECONDS)
        assert not left
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
