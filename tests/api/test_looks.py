"""What a pass makes of a real Deployment whose rollout does not get on: pods that fail, a newer generation, a pause."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from chatbot_operator.cache import Cache, ResourceKey
from chatbot_operator.cluster import Cluster
from chatbot_operator.events import Recorder
from chatbot_operator.reconcile import Reconciler
from chatbot_operator.resource import KIND, Manifest
from chatbot_operator.settings import Settings
from chatbot_operator.unready_pods import LOOK_SECONDS
from devcluster.controlplane import ControlPlane
from tests.api.operator_process import SERVICE_IMAGE, Namespace
from tests.waiting import wait_until

pytestmark = pytest.mark.api

NAME = "bot"
LONG_SECONDS = 240.0
"""So long after the start that a look is good for another minute."""


class Passes:
    """An operator's passes over one resource, each made when the test says so."""

    def __init__(self, cluster: Cluster, team: Namespace) -> None:
        self.now = 1000.0
        self._cluster = cluster
        self._team = team
        self._cache = Cache()
        recorder, settings = Recorder(cluster, instance="test"), Settings(service_image=SERVICE_IMAGE)
        self._reconciler = Reconciler(
            cluster, self._cache, health=lambda _key: None, recorder=recorder, settings=settings, clock=lambda: self.now
        )

    async def status(self) -> Manifest:
        """Return the status after a pass that knows what is live now."""
        for kind in (KIND, "Deployment"):
            if kind == KIND or self._team.get("deployment", NAME):
                self._cache.put(await self._cluster.read(kind, self._team.name, NAME))
        await self._reconciler.reconcile(ResourceKey(self._team.name, NAME))
        status: Manifest = (await self._cluster.read(KIND, self._team.name, NAME))["status"]
        return status

    async def roll_out(self, *, is_begun: Callable[[Manifest], bool], **spec: object) -> None:
        """Change the spec, and wait until the Deployment's controller has begun with it."""
        self._team.apply(NAME, **spec)
        await self.status()

        def deployment() -> Manifest:
            return self._team.get("deployment", NAME) or {}

        wait_until(
            deployment,
            lambda live: live["status"].get("observedGeneration") == live["metadata"]["generation"] and is_begun(live["status"]),
        )


@pytest.fixture
def team(control_plane_with_crd: ControlPlane, namespace: str) -> Namespace:
    return Namespace(control_plane_with_crd, namespace)


@pytest.fixture
def passes(cluster: Cluster, team: Namespace) -> Passes:
    return Passes(cluster, team)


def has_new_pods(status: Manifest) -> bool:
    return bool(status.get("updatedReplicas"))


def reason(status: Manifest) -> str:
    return next(str(condition["reason"]) for condition in status["conditions"] if condition["type"] == "Ready")


def pods_of(team: Namespace) -> dict[str, Manifest]:
    return {pod["metadata"]["name"]: pod for pod in json.loads(team.kubectl("get", "pods", "--output=json"))["items"]}


def fail_to_start(team: Namespace, *, why: str) -> None:
    """Let every pod say, as kubelet would, why its image is not there."""
    for name, pod in pods_of(team).items():
        image = pod["spec"]["containers"][0]["image"]
        state = {"waiting": {"reason": why, "message": f"{image} is not there"}}
        container = {"name": "chatbot", "image": image, "imageID": "", "ready": False, "restartCount": 0, "state": state}
        patch = json.dumps({"status": {"phase": "Pending", "containerStatuses": [container]}})
        team.kubectl("patch", "pod", name, "--subresource=status", f"--patch={patch}")


async def test_pods_of_the_former_rollout_do_not_speak_for_its_correction(passes: Passes, team: Namespace) -> None:
    await passes.roll_out(is_begun=has_new_pods, replicas=1, image="chat:1")
    fail_to_start(team, why="ErrImageNeverPull")
    await passes.status()
    failed = []
    for seconds in (LOOK_SECONDS, LONG_SECONDS):
        passes.now += seconds
        failed.append(reason(await passes.status()))

    await passes.roll_out(is_begun=has_new_pods, replicas=1, image="chat:2")
    corrected = await passes.status()
    passes.now += LOOK_SECONDS
    looked_at = await passes.status()

    assert failed == ["ImagePullFailed", "ImagePullFailed"]
    assert [reason(status) for status in (corrected, looked_at)] == ["RollingOut", "RollingOut"]

    fail_to_start(team, why="ErrImagePull")
    passes.now += LONG_SECONDS
    assert "image chat:2 cannot be pulled" in (await passes.status())["summary"]


async def test_old_pod_that_was_replaced_does_not_speak_for_the_rollout(passes: Passes, team: Namespace) -> None:
    await passes.roll_out(is_begun=has_new_pods, replicas=1, image="chat:1")
    old = pods_of(team).keys()
    await passes.roll_out(is_begun=has_new_pods, replicas=1, image="chat:2")
    second_of_the_last = max(datetime.fromisoformat(pod["metadata"]["creationTimestamp"]) for pod in pods_of(team).values())
    wait_until(lambda: datetime.now(UTC), lambda now: now - second_of_the_last > timedelta(seconds=1))
    team.kubectl("delete", "pod", *old)
    wait_until(lambda: pods_of(team).keys(), lambda found: len(found) > 1 and not old & found)
    fail_to_start(team, why="ErrImagePull")

    await passes.status()
    passes.now += LOOK_SECONDS

    assert "image chat:2 cannot be pulled" in (await passes.status())["summary"]


async def test_rollout_that_somebody_paused_is_named_until_it_is_resumed(passes: Passes, team: Namespace) -> None:
    await passes.roll_out(is_begun=has_new_pods, replicas=1, image="chat:1")
    team.kubectl("rollout", "pause", f"deployment/{NAME}")
    await passes.roll_out(is_begun=lambda status: not has_new_pods(status), replicas=1, image="chat:2")

    paused = await passes.status()
    hint = paused["summary"][paused["summary"].index("kubectl ") :]
    team.plane.kubectl(*hint.split()[1:])
    wait_until(lambda: team.get("deployment", NAME) or {}, lambda live: has_new_pods(live["status"]))

    assert reason(paused) == "Paused"
    assert reason(await passes.status()) == "RollingOut"
