"""The PodMonitor, by which the Prometheus operator finds the pods' metrics; not every cluster knows the kind."""

from typing import Final

from chatbot_operator import names
from chatbot_operator.desired.ownership import build_child
from chatbot_operator.desired.ports import ADMIN_PORT_NAME
from chatbot_operator.resource import ChatbotDeployment, Manifest

CHATBOT_LABEL: Final = "chatbot"
"""The label that the alerts and dashboards know a pod's series by; its value is the resource's name."""


def build_pod_monitor(resource: ChatbotDeployment) -> Manifest | None:
    """Return the PodMonitor where one is asked for; Prometheus names the job after the resource."""
    spec = resource.spec.monitoring
    if not spec.pod_monitor:
        return None
    name = names.pod_monitor(resource.name)
    head = build_child(resource, api_version="monitoring.coreos.com/v1", kind="PodMonitor", name=name, labels=spec.labels)
    return head | {
        "spec": {
            "jobLabel": names.INSTANCE_LABEL,
            "selector": {"matchLabels": names.selector_labels(resource.name)},
            "podMetricsEndpoints": [
                {
                    "port": ADMIN_PORT_NAME,
                    "path": "/metrics",
                    "relabelings": [{"action": "replace", "targetLabel": CHATBOT_LABEL, "replacement": resource.name}],
                }
            ],
        }
    }
