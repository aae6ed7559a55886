"""The PodDisruptionBudget: node drains take one pod at a time."""

from chatbot_operator import names
from chatbot_operator.desired.ownership import build_child
from chatbot_operator.resource import ChatbotDeployment, Manifest


def build_pod_disruption_budget(resource: ChatbotDeployment, replicas: int) -> Manifest | None:
    """Return the budget, or None below two pods: there it could only block the node's drain."""
    if replicas < 2:  # noqa: PLR2004 - the docstring names it
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
