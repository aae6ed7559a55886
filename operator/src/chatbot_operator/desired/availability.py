"""The PodDisruptionBudget: node drains take one pod at a time."""

from typing import Final

from chatbot_operator import names
from chatbot_operator.desired.ownership import build_child
from chatbot_operator.resource import ChatbotDeployment, Manifest

SAFE_REPLICAS: Final = 2
"""Below this number of pods the eviction of one is an outage anyway."""


def build_pod_disruption_budget(resource: ChatbotDeployment, replicas: int) -> Manifest | None:
    """Return the budget where the spec asks for one; where it says nothing, at two pods or more."""
    enabled = resource.spec.pod_disruption_budget.enabled
    if not (replicas >= SAFE_REPLICAS if enabled is None else enabled):
        return None
    name = names.pod_disruption_budget(resource.name)
    return build_child(resource, api_version="policy/v1", kind="PodDisruptionBudget", name=name) | {
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": names.selector_labels(resource.name)},
            # Pods that are all unready (a wrong key) must not keep a node from being drained.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        }
    }
