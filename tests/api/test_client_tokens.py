"""The Secret with a client's token where something else is in its place, or it is refused: on a real API server."""

import pytest

from chatbot_operator.client_tokens import TAKEN_SECONDS, ClientTokens
from chatbot_operator.cluster import Cluster
from chatbot_operator.resource import API_VERSION, KIND, ChatbotDeployment, Manifest
from devcluster.controlplane import ControlPlane, KubectlFailed
from tests.waiting import wait_until

pytestmark = pytest.mark.api


@pytest.fixture
async def resource(cluster: Cluster, namespace: str) -> Manifest:
    """A resource whose clients show a token."""
    metadata, spec = {"namespace": namespace, "name": "bot"}, {"clientAuth": {"mode": "Token"}}
    return await cluster.create({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec})


def refused(resource: Manifest) -> ChatbotDeployment:
    """Return the resource with the status of a generation of which a child was refused."""
    metadata = resource["metadata"]
    conditions = [{"type": "Ready", "status": "False", "reason": "ApplyRefused", "message": "No.", "observedGeneration": 1}]
    status = {"observedGeneration": metadata["generation"], "conditions": conditions}
    return ChatbotDeployment.from_manifest({**resource, "status": status})


async def test_secret_of_an_earlier_resource_is_replaced_soon_after_it_went(cluster: Cluster, namespace: str, resource: Manifest) -> None:
    now = 0.0
    tokens, bot = ClientTokens(cluster, clock=lambda: now), ChatbotDeployment.from_manifest(resource)
    left = {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": namespace, "name": "bot-client-token"}}
    left = await cluster.create(left)

    await tokens.ensure(bot, missing=False)
    await cluster.delete(left)
    now = TAKEN_SECONDS
    await tokens.ensure(bot, missing=True)

    made = await cluster.read("Secret", namespace, "bot-client-token")
    assert made["metadata"]["ownerReferences"][0]["uid"] == bot.uid


def admits_secrets(plane: ControlPlane, namespace: str) -> bool:
    """Tell whether the API server knows that the quota is there, or is not any more."""
    try:
        plane.kubectl("create", "secret", "generic", "probe", "--dry-run=server", f"--namespace={namespace}")
    except KubectlFailed:
        return False
    return True


async def test_refused_secret_is_told_until_it_is_there_by_a_restarted_operator_too(
    cluster: Cluster, control_plane: ControlPlane, namespace: str, resource: Manifest
) -> None:
    control_plane.kubectl("create", "quota", "none", "--hard=count/secrets=0", f"--namespace={namespace}")
    wait_until(lambda: not admits_secrets(control_plane, namespace))
    tokens, restarted = ClientTokens(cluster), ClientTokens(cluster)

    first = await tokens.ensure(ChatbotDeployment.from_manifest(resource), missing=False)
    second = await tokens.ensure(refused(resource), missing=False)
    third = await restarted.ensure(refused(resource), missing=False)
    control_plane.kubectl("delete", "quota", "none", f"--namespace={namespace}")
    wait_until(lambda: admits_secrets(control_plane, namespace))
    last = await tokens.ensure(refused(resource), missing=False)

    assert first is not None
    assert (first.reason, second, third, last) == ("ApplyRefused", first, first, None)
    assert "exceeded quota: none" in first.message
    await cluster.read("Secret", namespace, "bot-client-token")
