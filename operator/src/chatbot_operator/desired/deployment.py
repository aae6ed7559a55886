"""The Deployment: how many pods, and how one revision takes over from another."""

from chatbot_operator import names
from chatbot_operator.desired.ownership import build_child
from chatbot_operator.desired.pod import build_pod_template
from chatbot_operator.resource import ChatbotDeployment, Manifest, duration_seconds
from chatbot_operator.settings import Settings


def build_deployment(resource: ChatbotDeployment, settings: Settings, replicas: int) -> Manifest:
    """Return the Deployment with `replicas` pods."""
    name = names.deployment(resource.name)
    return build_child(resource, api_version="apps/v1", kind="Deployment", name=name) | {
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 5,
            **_rollout(resource),
            "selector": {"matchLabels": names.selector_labels(resource.name)},
            "template": build_pod_template(resource, settings),
        }
    }


def _rollout(resource: ChatbotDeployment) -> Manifest:
    rollout = resource.spec.rollout
    fields: Manifest = {
        "progressDeadlineSeconds": duration_seconds(rollout.progress_deadline),
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": rollout.max_surge, "maxUnavailable": rollout.max_unavailable},
        },
    }
    # The API server keeps no zero here, so one would differ for ever.
    return {"minReadySeconds": rollout.min_ready_seconds, **fields} if rollout.min_ready_seconds else fields
