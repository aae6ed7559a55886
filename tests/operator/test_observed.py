"""When a Deployment has nothing left to roll out."""

import pytest

from chatbot_operator.observed import is_rolled_out
from chatbot_operator.resource import Manifest

DONE = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}


def deployment(status: Manifest, *, replicas: int = 2) -> Manifest:
    return {"kind": "Deployment", "metadata": {"generation": 3}, "spec": {"replicas": replicas}, "status": status}


def test_deployment_whose_pods_are_all_new_and_available_is_rolled_out() -> None:
    assert is_rolled_out(deployment(DONE))
    assert is_rolled_out(deployment({"observedGeneration": 3}, replicas=0))


@pytest.mark.parametrize(
    "status",
    [{}, DONE | {"observedGeneration": 2}, DONE | {"replicas": 3}, DONE | {"updatedReplicas": 1}, DONE | {"availableReplicas": 1}],
)
def test_deployment_with_old_or_unavailable_pods_is_not(status: Manifest) -> None:
    assert not is_rolled_out(deployment(status))


def test_other_kinds_roll_nothing_out() -> None:
    assert not is_rolled_out({"kind": "Service", "metadata": {}, "spec": {}})
