"""The children of a resource as complete manifests: a pure function of the resource, the settings and the number of pods.

Nothing here depends on what is live, on the clock or on the operator's own version, so a restart of the operator changes nothing.
"""

from chatbot_operator.desired.availability import build_pod_disruption_budget
from chatbot_operator.desired.client_tokens import desired_secret
from chatbot_operator.desired.configuration import build_prompt_config_map, build_service_account
from chatbot_operator.desired.deployment import build_deployment
from chatbot_operator.desired.ingress import build_ingress
from chatbot_operator.desired.monitoring import build_pod_monitor
from chatbot_operator.desired.network_policy import build_network_policy
from chatbot_operator.desired.ownership import seal
from chatbot_operator.desired.service import build_service
from chatbot_operator.resource import ChatbotDeployment, Manifest
from chatbot_operator.settings import Settings

__all__ = ["CHILD_KINDS", "PRUNED_KINDS", "desired_secret", "desired_state"]

CHILD_KINDS = ("ServiceAccount", "ConfigMap", "Service", "NetworkPolicy", "Deployment", "PodDisruptionBudget", "Ingress", "PodMonitor")
"""Every kind that a child can have. Not every cluster knows PodMonitors."""

PRUNED_KINDS = ("ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "Ingress", "PodMonitor")
"""Those that a spec can do without: what is live of these and not desired is deleted. The others only go with the resource."""


def desired_state(resource: ChatbotDeployment, settings: Settings, replicas: int) -> tuple[Manifest, ...]:
    """Return every child in the order of application: what the pods need comes before the Deployment."""
    children = (
        build_service_account(resource),
        build_prompt_config_map(resource),
        build_service(resource),
        build_network_policy(resource, settings),
        build_deployment(resource, settings, replicas),
        build_pod_disruption_budget(resource, replicas),
        build_ingress(resource),
        build_pod_monitor(resource),
    )
    return tuple(seal(child) for child in children if child is not None)
