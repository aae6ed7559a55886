"""A resource whose spec cannot be read any more, in the midst of a rollout: by its cache, since the schema would not let it in."""

import pytest

from chatbot_operator import errors
from chatbot_operator.cache import Cache, ResourceKey
from chatbot_operator.cluster import Cluster
from chatbot_operator.events import Recorder
from chatbot_operator.reconcile import Reconciler
from chatbot_operator.reporting import STILL_SECONDS
from chatbot_operator.resource import API_VERSION, KIND, Manifest
from chatbot_operator.settings import Settings
from tests.api.operator_process import SERVICE_IMAGE

pytestmark = pytest.mark.api


async def create(cluster: Cluster, namespace: str, name: str) -> Manifest:
    metadata = {"namespace": namespace, "name": name}
    return await cluster.create(
        {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": {"rollout": {"minReadySeconds": 3}}}
    )


def as_before(resource: Manifest) -> Manifest:
    """Return the resource as one that the next version replaces."""
    metadata = resource["metadata"]
    return {**resource, "metadata": {**metadata, "resourceVersion": str(int(metadata["resourceVersion"]) - 1)}}


async def test_its_children_are_let_be_until_it_is_corrected(cluster: Cluster, namespace: str) -> None:
    resource = await create(cluster, namespace, "bot")
    cache = Cache()
    settings, recorder = Settings(service_image=SERVICE_IMAGE), Recorder(cluster, instance="test")
    reconciler = Reconciler(cluster, cache, health=lambda _key: None, recorder=recorder, settings=settings)
    cache.put(as_before(resource))
    await reconciler.reconcile(ResourceKey.of(resource))
    children = cache.children(resource["metadata"]["uid"])

    cache.put({**resource, "spec": {"replicas": "many"}})
    with pytest.raises(errors.SpecInvalid):
        await reconciler.reconcile(ResourceKey.of(resource))

    assert children != ()
    assert [(await cluster.read(*child.key))["metadata"]["uid"] for child in children] == [child.uid for child in children]


async def told_after(reconciler: Reconciler, resource: Manifest) -> float | None:
    """Return in how many seconds a newborn is told of, as its second pass says; the first has nothing to tell."""
    await reconciler.reconcile(ResourceKey.of(resource))
    return await reconciler.reconcile(ResourceKey.of(resource))


async def test_its_rollout_takes_no_time_from_others(cluster: Cluster, namespace: str) -> None:
    resource, other = [await create(cluster, namespace, name) for name in ("bot", "other")]
    cache = Cache()
    settings, recorder = Settings(service_image=SERVICE_IMAGE), Recorder(cluster, instance="test")
    reconciler = Reconciler(cluster, cache, health=lambda _key: None, recorder=recorder, settings=settings, clock=lambda: 1000.0)

    cache.put(as_before(resource))
    assert await told_after(reconciler, resource) == STILL_SECONDS + 3
    cache.put({**resource, "spec": {"replicas": "many"}})
    with pytest.raises(errors.SpecInvalid):
        await reconciler.reconcile(ResourceKey.of(resource))
    cache.put(other)

    assert await told_after(reconciler, other) == STILL_SECONDS + 3
