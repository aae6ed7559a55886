import uuid
from contextlib import aclosing
from pathlib import Path

import pytest

from chatbot_operator import cluster as cluster_module
from chatbot_operator import errors
from chatbot_operator.cluster import Cluster, load_configuration
from chatbot_operator.resource import Manifest
from devcluster.controlplane import ControlPlane

pytestmark = pytest.mark.api


def config_map(namespace: str, name: str = "child", **data: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": namespace, "name": name, "labels": {"set": namespace}},
        "data": data,
    }


async def test_apply_of_a_new_child_creates_it_with_fields_that_a_later_apply_can_remove(cluster: Cluster, namespace: str) -> None:
    created = await cluster.apply(config_map(namespace, a="1", b="2"), uid=None)

    changed = await cluster.apply(config_map(namespace, a="1"), uid=created["metadata"]["uid"])

    assert created["data"] == {"a": "1", "b": "2"}
    assert changed["data"] == {"a": "1"}


async def test_apply_of_a_new_child_never_overwrites_one_that_exists(cluster: Cluster, namespace: str) -> None:
    foreign = await cluster.create(config_map(namespace, a="foreign"))

    with pytest.raises(errors.ObjectConflict):
        await cluster.apply(config_map(namespace, a="ours"), uid=None)

    assert await cluster.read("ConfigMap", namespace, "child") == foreign


async def test_apply_of_a_child_that_is_gone_does_not_create_it(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(errors.ObjectConflict):
        await cluster.apply(config_map(namespace), uid=str(uuid.uuid4()))

    with pytest.raises(errors.ObjectNotFound):
        await cluster.read("ConfigMap", namespace, "child")


async def test_apply_of_a_child_that_was_replaced_does_not_touch_the_new_one(cluster: Cluster, namespace: str) -> None:
    foreign = await cluster.create(config_map(namespace, a="foreign"))

    with pytest.raises(errors.ObjectConflict):
        await cluster.apply(config_map(namespace, a="ours"), uid=str(uuid.uuid4()))

    assert await cluster.read("ConfigMap", namespace, "child") == foreign


async def test_delete_spares_an_object_that_changed_since_it_was_seen(cluster: Cluster, namespace: str) -> None:
    seen = await cluster.create(config_map(namespace, a="1"))
    await cluster.apply(config_map(namespace, a="2"), uid=seen["metadata"]["uid"])

    with pytest.raises(errors.ObjectConflict):
        await cluster.delete(seen)

    await cluster.delete(await cluster.read("ConfigMap", namespace, "child"))
    with pytest.raises(errors.ObjectNotFound):
        await cluster.read("ConfigMap", namespace, "child")


async def test_status_of_a_resource_that_is_gone_or_newer_is_not_written(cluster: Cluster, namespace: str) -> None:
    manifest: Manifest = {
        "apiVersion": "chatbot.dev/v1alpha1",
        "kind": "ChatbotDeployment",
        "metadata": {"namespace": namespace, "name": "bot"},
        "spec": {},
    }
    gone = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": "2"}}

    with pytest.raises(errors.ObjectNotFound):
        await cluster.apply_status(gone, {"observedGeneration": 1})
    live = await cluster.create(manifest)
    with pytest.raises(errors.ObjectConflict):
        await cluster.apply_status(gone, {"observedGeneration": 1})

    assert (await cluster.apply_status(live, {"observedGeneration": 1}))["status"]["observedGeneration"] == 1


async def test_refusal_carries_the_words_of_the_api_server(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(errors.RequestRefused, match=r"metadata\.name: Invalid value"):
        await cluster.create(config_map(namespace, name="Not_A_Name"))
    with pytest.raises(errors.ObjectNotFound, match="no-such-namespace"):
        await cluster.create(config_map("no-such-namespace"))


async def test_right_that_the_operator_lacks_is_told_from_a_refusal_of_the_object(
    control_plane: ControlPlane, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig = control_plane.write_kubeconfig(tmp_path / "nobody.kubeconfig", user="nobody")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    cluster = Cluster(await load_configuration())

    with pytest.raises(errors.AccessDenied, match='User "nobody" cannot patch resource "configmaps"'):
        await cluster.apply(config_map(namespace), uid=None)

    await cluster.close()


async def test_custom_resource_is_read_as_it_was_written(cluster: Cluster, namespace: str) -> None:
    metadata, affinity = {"namespace": namespace, "name": "bot"}, {"a": 1, "managedFields": [{"b": 1}]}
    written = {"apiVersion": "chatbot.dev/v1alpha1", "kind": "ChatbotDeployment", "metadata": metadata}

    created = await cluster.create({**written, "spec": {"scheduling": {"affinity": affinity}}})
    listed, _ = await cluster.list("ChatbotDeployment", namespace=namespace)

    assert [each["spec"]["scheduling"]["affinity"] for each in (created, *listed)] == [affinity, affinity]
    assert "managedFields" not in created["metadata"]


async def test_list_follows_its_pages(cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "PAGE_SIZE", 2)
    for number in range(5):
        await cluster.create(config_map(namespace, name=f"map-{number}"))

    listed, version = await cluster.list("ConfigMap", namespace=namespace, selector=f"set={namespace}")

    assert [item["metadata"]["name"] for item in listed] == [f"map-{number}" for number in range(5)]
    assert {(item["apiVersion"], item["kind"]) for item in listed} == {("v1", "ConfigMap")}
    assert int(version) >= int(listed[-1]["metadata"]["resourceVersion"])


async def test_watch_yields_what_happens_and_ends_with_its_time(cluster: Cluster, namespace: str) -> None:
    _, version = await cluster.list("ConfigMap", namespace=namespace)
    big = await cluster.create(config_map(namespace, a="x" * 700_000))
    await cluster.delete(big)

    seen = []
    async with aclosing(cluster.watch("ConfigMap", since=version, timeout_seconds=2, namespace=namespace, selector="set")) as events:
        async for type_, manifest in events:
            seen.append((type_, manifest["metadata"].get("name")))

    assert [event for event in seen if event[0] != "BOOKMARK"] == [("ADDED", "child"), ("DELETED", "child")]


async def test_watch_from_before_the_resource_existed_is_expired(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(errors.WatchExpired):
        async for _ in cluster.watch("ChatbotDeployment", since="1", timeout_seconds=5, namespace=namespace):
            pass


async def test_process_that_does_not_lead_writes_nothing(cluster: Cluster, namespace: str) -> None:
    seen = await cluster.create(config_map(namespace))
    cluster.may_write = lambda: False

    with pytest.raises(errors.LeadershipLost):
        await cluster.apply(config_map(namespace, a="1"), uid=seen["metadata"]["uid"])
    with pytest.raises(errors.LeadershipLost):
        await cluster.delete(seen)
    with pytest.raises(errors.LeadershipLost):
        await cluster.create(config_map(namespace, name="another"))

    assert await cluster.read("ConfigMap", namespace, "child") == seen


async def test_write_is_not_sent_when_the_lease_was_lost_while_connecting(cluster: Cluster, namespace: str) -> None:
    leads = iter((True, False))
    cluster.may_write = lambda: next(leads)

    with pytest.raises(errors.LeadershipLost):
        await cluster.apply(config_map(namespace), uid=None)

    with pytest.raises(errors.ObjectNotFound):
        await cluster.read("ConfigMap", namespace, "child")


async def test_no_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch, control_plane: ControlPlane) -> None:
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    configuration = await load_configuration()
    configuration.host = "https://127.0.0.1:1"
    cluster = Cluster(configuration)

    with pytest.raises(errors.ClusterUnavailable, match="GET /api/v1/namespaces/team/configmaps/child"):
        await cluster.read("ConfigMap", "team", "child")

    await cluster.close()
