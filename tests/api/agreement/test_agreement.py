"""`kubectl wait`, Helm, kstatus and Argo CD agree on every situation: go on, wait, or give up.

`kubectl wait --for=condition=Ready` knows no failure: it waits on where the others give up. There `--for=condition=Stalled` is what holds.
"""

import asyncio
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from chatbot_operator.cluster import Cluster, load_configuration
from chatbot_operator.resource import API_VERSION, KIND, ChatbotDeployment
from chatbot_operator.status import derive_invalid_status, derive_status
from devcluster.controlplane import ControlPlane
from tests.api.agreement.health import health
from tests.api.agreement.situations import KEPT, RELEASED, SITUATIONS, Moment, Outcome, Situation
from tests.api.agreement.waiting import IMPATIENT_SECONDS, PATIENT_SECONDS, Helm, content
from tests.api.operator_process import Namespace
from tests.resources import SETTINGS

pytestmark = pytest.mark.api

AT_ONCE = 6  # Helms that wait side by side


@dataclass(frozen=True)
class Reading:
    """What each made of one situation."""

    ready: bool
    stalled: bool
    helm: str
    kstatus: str
    argo: str


AGREED: Mapping[Outcome, Reading] = {
    Outcome.GO_ON: Reading(ready=True, stalled=False, helm="deployed", kstatus="Current", argo="Healthy"),
    Outcome.WAIT: Reading(ready=False, stalled=False, helm="timeout", kstatus="InProgress", argo="Progressing"),
    Outcome.GIVE_UP: Reading(ready=False, stalled=True, helm="failed", kstatus="Failed", argo="Degraded"),
}
# What one of them has a word of its own for; it waits all the same (a sync of Argo CD does for what is Suspended).
ALSO_WAITING: Mapping[str, dict[str, str]] = {
    "being deleted": {"kstatus": "Terminating"},
    "hands off before the first look": {"argo": "Suspended"},
    "hands off, and edited since": {"argo": "Suspended"},
}


def _name(situation: str) -> str:
    return re.sub(r"\W+", "-", situation.lower())


async def _bring_about(team: Namespace) -> None:
    """Create every resource, and write the statuses that the operator derives, as it writes them."""
    cluster = Cluster(await load_configuration())
    try:
        for title, situation in SITUATIONS.items():
            await _bring_one_about(cluster, team, title, situation)
    finally:
        await cluster.close()


async def _bring_one_about(cluster: Cluster, team: Namespace, title: str, situation: Situation) -> None:
    metadata = {"name": _name(title), "namespace": team.name}
    manifest = await cluster.create({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": dict(situation.spec)})
    begun = datetime.now(UTC)
    for moment in situation.moments:
        manifest = await cluster.apply_status(manifest, _status(manifest, moment, begun))


def _status(manifest: dict[str, object], moment: Moment, begun: datetime) -> dict[str, object]:
    now = begun + moment.after
    if moment.invalid:
        return derive_invalid_status(manifest, moment.invalid, settings=SETTINGS, now=now)
    resource = ChatbotDeployment.from_manifest(manifest)
    return derive_status(resource, moment.observed, moment.fleet, settings=SETTINGS, now=now, replicas=moment.replicas)


@pytest.fixture(scope="module")
def team(control_plane_with_crd: ControlPlane) -> Iterator[Namespace]:
    """A namespace with a resource in each situation."""
    team = Namespace(control_plane_with_crd, f"agreement-{uuid.uuid4().hex[:6]}")
    control_plane_with_crd.kubectl("create", "namespace", team.name)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("KUBECONFIG", str(control_plane_with_crd.kubeconfig))
        asyncio.run(_bring_about(team))
    done = [(_name(title), *command) for title, situation in SITUATIONS.items() for command in situation.since]
    for name, verb, *flags in done:
        team.kubectl(verb, f"chatbot/{name}", *flags)
    yield team
    for name, *command in done:
        if tuple(command) == KEPT:
            team.kubectl(RELEASED[0], f"chatbot/{name}", *RELEASED[1:])
    control_plane_with_crd.kubectl("delete", "namespace", team.name, "--wait=false")


@pytest.fixture(scope="module")
def readings(team: Namespace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reading]:
    helm = Helm(team, tmp_path_factory.mktemp("helm"))
    ready, stalled = content(team, "Ready"), content(team, "Stalled")
    listed = json.loads(team.kubectl("get", "chatbotdeployments", "--output=json"))["items"]
    with health() as both:
        verdicts = {manifest["metadata"]["name"]: both.verdict(manifest) for manifest in listed}

    def read(title: str) -> Reading:
        name, situation = _name(title), SITUATIONS[title]
        seconds = IMPATIENT_SECONDS if situation.outcome is Outcome.WAIT else PATIENT_SECONDS
        return Reading(
            ready=name in ready,
            stalled=name in stalled,
            helm=helm.waits(name, spec=situation.spec, seconds=seconds),
            kstatus=verdicts[name].kstatus,
            argo=verdicts[name].argo,
        )

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(SITUATIONS, pool.map(read, SITUATIONS), strict=True))


@pytest.mark.parametrize("title", SITUATIONS)
def test_all_come_to_the_same_conclusion(readings: dict[str, Reading], title: str) -> None:
    expected = AGREED[SITUATIONS[title].outcome]

    found = readings[title]

    assert found == Reading(**vars(expected) | ALSO_WAITING.get(title, {}))
