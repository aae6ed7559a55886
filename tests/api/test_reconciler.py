"""A reconciler called by hand, with a cache of the test's own, on a real API server."""

import json
from pathlib import Path
from typing import Any

import pytest

from chatbot_operator import fleet, names
from chatbot_operator.cache import Cache, ResourceKey
from chatbot_operator.cluster import Cluster, load_configuration
from chatbot_operator.events import Recorder
from chatbot_operator.fleet import FleetHealth
from chatbot_operator.pod_report import PodReport
from chatbot_operator.reconcile import NOT_READY_SECONDS, Reconciler
from chatbot_operator.resource import API_VERSION, KIND, Manifest
from chatbot_operator.settings import Settings
from devcluster.controlplane import ControlPlane, KubectlFailed
from tests.api.operator_process import SERVICE_IMAGE, Namespace
from tests.waiting import wait_until

pytestmark = pytest.mark.api

KINDS = ("ServiceAccount", "Service", "NetworkPolicy", "Deployment", "PodDisruptionBudget")


def reconciler(cluster: Cluster, cache: Cache, *, health: FleetHealth | None = None, unheard: bool = False) -> Reconciler:
    settings = Settings(service_image=SERVICE_IMAGE)
    recorder = Recorder(cluster, instance="test")
    return Reconciler(cluster, cache, health=lambda _key: health, unheard=lambda _key: unheard, recorder=recorder, settings=settings)


async def create_bot(cluster: Cluster, namespace: str, **spec: Any) -> Manifest:
    """Create the resource and return it."""
    return await cluster.create(
        {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"namespace": namespace, "name": "bot"}, "spec": spec}
    )


def conditions_of(resource: Manifest) -> dict[str, Manifest]:
    return {condition["type"]: condition for condition in resource["status"]["conditions"]}


async def test_children_whose_answers_were_lost_are_recognised(cluster: Cluster, namespace: str) -> None:
    resource = await create_bot(cluster, namespace)

    written = []
    for _ in range(2):
        cache = Cache()  # which knows the resource and none of its children
        cache.put(await cluster.read(KIND, namespace, "bot"))
        await reconciler(cluster, cache).reconcile(ResourceKey(namespace, "bot"))
        written.append({child.key: child.version for child in cache.children(resource["metadata"]["uid"])})

    assert {key.kind for key in written[0]} == set(KINDS)
    unmoved = {key: version for key, version in written[0].items() if key.kind not in ("Deployment", "PodDisruptionBudget")}
    assert written[1].items() >= unmoved.items()


REFUSED = {
    "version": 1,
    "pod": {"uid": "pod-1"},
    "state": "not_ready",
    "credentials": {"state": "Rejected"},
    "model": {"name": "claude-sonnet-5-5"},
}
TOLD = fleet.merge([PodReport.model_validate(REFUSED)], expected=1)


@pytest.fixture
async def cache(cluster: Cluster, namespace: str) -> Cache:
    """What is known of a resource that has one pod."""
    key, cache = ResourceKey(namespace, "bot"), Cache()
    cache.put(await create_bot(cluster, namespace))
    await reconciler(cluster, cache).reconcile(key)
    service = cache.get("Service", *key)
    assert service is not None
    owner = {"kind": "Service", "name": "bot", "uid": service["metadata"]["uid"], "controller": True}
    pod = {"addresses": ["10.0.0.1"], "targetRef": {"uid": "pod-1"}}
    slice_metadata = {"namespace": namespace, "name": "bot-1", "resourceVersion": "1", "ownerReferences": [owner]}
    cache.put({"kind": "EndpointSlice", "metadata": slice_metadata, "endpoints": [pod]})
    return cache


async def reconciled(cluster: Cluster, cache: Cache, key: ResourceKey, *, health: FleetHealth | None, unheard: bool) -> Manifest:
    """Return the resource after one pass of an operator that was just started."""
    await reconciler(cluster, cache, health=health, unheard=unheard).reconcile(key)
    return await cluster.read(KIND, *key)


async def test_status_waits_for_the_word_of_pods_that_exist(cluster: Cluster, namespace: str, cache: Cache) -> None:
    async def status_after(health: FleetHealth | None, *, unheard: bool) -> Any:
        return (await reconciled(cluster, cache, ResourceKey(namespace, "bot"), health=health, unheard=unheard))["status"]

    assert (await status_after(None, unheard=True))["observedGeneration"] == -1
    assert (await status_after(TOLD, unheard=True))["credentials"]["state"] == "Rejected"
    assert (await status_after(FleetHealth(expected=1), unheard=True))["credentials"]["state"] == "Rejected"
    assert (await status_after(FleetHealth(expected=1), unheard=False))["credentials"]["state"] == "Unverified"


async def test_what_stands_in_the_way_is_told_before_the_pods_were_heard(cluster: Cluster, namespace: str, cache: Cache) -> None:
    key = ResourceKey(namespace, "bot")
    before = await reconciled(cluster, cache, key, health=TOLD, unheard=False)
    account = await cluster.read("ServiceAccount", *key)
    await cluster.delete(account)
    cache.forget(account)
    await cluster.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": namespace, "name": "bot"}})

    after = await reconciled(cluster, cache, key, health=None, unheard=True)

    assert conditions_of(after)["Stalled"]["reason"] == "Conflict"
    assert after["status"]["credentials"] == before["status"]["credentials"]
    assert conditions_of(after)["CredentialsValid"] == conditions_of(before)["CredentialsValid"]
    assert conditions_of(before)["CredentialsValid"]["status"] == "False"


async def told_of(cluster: Cluster, key: ResourceKey) -> Any:
    """Return the generation that the status speaks of."""
    return (await cluster.read(KIND, *key))["status"]["observedGeneration"]


async def test_resource_of_the_same_name_begins_anew(cluster: Cluster, namespace: str) -> None:
    key, cache = ResourceKey(namespace, "bot"), Cache()
    scaling = {"enabled": True, "minReplicas": 1}
    passes = reconciler(cluster, cache)
    for replicas in (4, 2):
        bot = await create_bot(cluster, namespace, replicas=replicas, autoscaling=scaling)
        cache.put(bot)
        await passes.reconcile(key)
        await cluster.delete(bot)

        assert passes._scaling[key].replicas == replicas


async def observed_deployment(cluster: Cluster, control_plane: ControlPlane, key: ResourceKey) -> Manifest:
    """Return the Deployment once its controller has seen it."""
    team = Namespace(control_plane, key.namespace)
    wait_until(lambda: team.get("deployment", key.name) or {}, lambda live: live.get("status", {}).get("observedGeneration") == 1)
    return await cluster.read("Deployment", *key)


async def test_newborn_is_told_of_by_the_second_pass(cluster: Cluster, control_plane: ControlPlane, namespace: str) -> None:
    key, cache = ResourceKey(namespace, "bot"), Cache()
    cache.put(await create_bot(cluster, namespace, replicas=0))
    passes = reconciler(cluster, cache)

    assert await passes.reconcile(key) == NOT_READY_SECONDS
    assert await told_of(cluster, key) == -1
    cache.put(await observed_deployment(cluster, control_plane, key))
    await passes.reconcile(key)

    assert await told_of(cluster, key) == 1


async def test_nothing_is_made_for_a_resource_that_is_being_deleted(cluster: Cluster, namespace: str) -> None:
    key, cache = ResourceKey(namespace, "bot"), Cache()
    metadata = {"namespace": namespace, "name": "bot", "finalizers": ["example.com/hold"]}
    bot = await cluster.create({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": {}})
    await cluster.delete(bot)
    going = await cluster.read(KIND, *key)
    cache.put(going)

    again = await reconciler(cluster, cache).reconcile(key)

    assert "deletionTimestamp" in going["metadata"]
    assert again is None
    for kind in KINDS:
        made, _ = await cluster.list(kind, namespace=namespace, selector=names.selector("bot"))
        assert made == []
    assert await cluster.read(KIND, *key) == going


async def test_resource_that_is_gone_when_it_is_told_of_is_forgotten(cluster: Cluster, control_plane: ControlPlane, namespace: str) -> None:
    key, cache = ResourceKey(namespace, "bot"), Cache()
    bot = await create_bot(cluster, namespace, replicas=0)
    cache.put(bot)
    passes = reconciler(cluster, cache)
    await passes.reconcile(key)
    cache.put(await observed_deployment(cluster, control_plane, key))
    await cluster.delete(bot)

    await passes.reconcile(key)

    assert cache.get(KIND, *key) is None
    assert key not in passes._uids
    assert key not in passes._children._converged
    assert key not in passes._reporting._written_at


RIGHTS = {
    "chatbot.dev": ["chatbotdeployments", "chatbotdeployments/status"],
    "": ["serviceaccounts", "services"],
    "networking.k8s.io": ["networkpolicies"],
    "apps": ["deployments"],
    "policy": ["poddisruptionbudgets"],
}


def may(plane: ControlPlane, namespace: str, user: str) -> bool:
    """Tell whether the API server knows of the role that was just bound."""
    try:
        plane.kubectl("auth", "can-i", "patch", "deployments.apps", f"--as={user}", f"--namespace={namespace}")
    except KubectlFailed:
        return False
    return True


async def limited(
    plane: ControlPlane, namespace: str, directory: Path, monkeypatch: pytest.MonkeyPatch, *, rights: dict[str, list[str]]
) -> Cluster:
    """Return a client that may read, create and change these and nothing else."""
    user = f"limited-{namespace}"
    rules = [{"apiGroups": [group], "resources": found, "verbs": ["get", "create", "patch"]} for group, found in rights.items()]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "limited"}, "rules": rules}
    plane.kubectl("create", f"--namespace={namespace}", "--filename=-", input=json.dumps(role))
    plane.kubectl("create", "rolebinding", "limited", f"--namespace={namespace}", "--role=limited", f"--user={user}")
    wait_until(lambda: may(plane, namespace, user))
    monkeypatch.setenv("KUBECONFIG", str(plane.write_kubeconfig(directory / "limited.kubeconfig", user=user)))
    return Cluster(await load_configuration())


async def test_right_that_is_missing_for_one_kind_is_told_and_the_other_children_are_applied(
    cluster: Cluster, control_plane: ControlPlane, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, cache = ResourceKey(namespace, "bot"), Cache()
    cache.put(await create_bot(cluster, namespace))
    rights = {group: resources for group, resources in RIGHTS.items() if group != "networking.k8s.io"}
    operator = await limited(control_plane, namespace, tmp_path, monkeypatch, rights=rights)

    resource = await reconciled(operator, cache, key, health=None, unheard=False)
    await operator.close()

    told = conditions_of(resource)["Reconciling"]
    assert told["reason"] == "AccessDenied"
    assert told["message"].startswith("The operator may not write NetworkPolicy bot: ")
    assert f'User "limited-{namespace}" cannot patch resource "networkpolicies"' in told["message"]
    assert told["message"].endswith("Give it the roles of its chart; it is tried again by itself.")
    assert {child.key.kind for child in cache.children(resource["metadata"]["uid"])} == set(KINDS) - {"NetworkPolicy"}


async def test_right_to_prune_that_is_missing_is_told(
    cluster: Cluster, control_plane: ControlPlane, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, cache = ResourceKey(namespace, "bot"), Cache()
    cache.put(await create_bot(cluster, namespace, replicas=2))
    operator = await limited(control_plane, namespace, tmp_path, monkeypatch, rights=RIGHTS)
    await reconciled(operator, cache, key, health=None, unheard=False)
    control_plane.kubectl("scale", "chatbotdeployment/bot", "--replicas=1", f"--namespace={namespace}")
    cache.put(await cluster.read(KIND, *key))

    resource = await reconciled(operator, cache, key, health=None, unheard=False)
    await operator.close()

    told = conditions_of(resource)["Reconciling"]
    assert (told["reason"], resource["status"]["observedGeneration"]) == ("AccessDenied", 2)
    assert 'cannot delete resource "poddisruptionbudgets"' in told["message"]
