"""The pod template: restricted Pod Security, one container, probes on the admin port.

It does not depend on the number of pods: scaling must not restart any.
"""

import hashlib
from typing import Final

from chatbot_operator import names
from chatbot_operator.desired.environment import build_container_environment
from chatbot_operator.desired.files import MountedFile, mounted_files
from chatbot_operator.desired.placement import build_placement
from chatbot_operator.desired.ports import ADMIN_PORT, ADMIN_PORT_NAME, HTTP_PORT, HTTP_PORT_NAME
from chatbot_operator.resource import ChatbotDeployment, Manifest, duration_seconds
from chatbot_operator.resource.pods import ProbesSpec
from chatbot_operator.settings import Settings

USER_ID: Final = 1001
STARTUP_PROBE_TIMEOUT_SECONDS: Final = 2


def build_pod_template(resource: ChatbotDeployment, settings: Settings) -> Manifest:
    """Return the template of the resource's pods."""
    return {"metadata": _metadata(resource), "spec": _pod(resource, settings)}


def _metadata(resource: ChatbotDeployment) -> Manifest:
    spec = resource.spec
    annotations = dict(spec.pod_annotations)
    if spec.system_prompt is not None:
        # The pods reread the file within kubelet's sync period, but only a rollout lets Ready say that this generation's prompt is in use.
        annotations[names.PROMPT_HASH_ANNOTATION] = hashlib.sha256(spec.system_prompt.encode()).hexdigest()[:32]
    labels = {**spec.pod_labels, **names.labels(resource.name)}
    return {"labels": labels, "annotations": annotations} if annotations else {"labels": labels}


def _pod(resource: ChatbotDeployment, settings: Settings) -> Manifest:
    spec, files = resource.spec, mounted_files(resource)
    pod: Manifest = {
        "serviceAccountName": names.service_account(resource.name),
        "automountServiceAccountToken": False,
        # Links would put a variable for each Service of the namespace into the environment: one named "admin" would set ADMIN_PORT.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": spec.drain.grace_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **build_placement(resource),
        "containers": [_container(resource, settings, files)],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}, *({"name": file.volume, **file.source} for file in files)],
    }
    if spec.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": secret.name} for secret in spec.image_pull_secrets]
    return pod


def _container(resource: ChatbotDeployment, settings: Settings, files: tuple[MountedFile, ...]) -> Manifest:
    spec = resource.spec
    return {
        "name": names.CONTAINER,
        "image": spec.image or settings.service_image,
        "imagePullPolicy": spec.image_pull_policy,
        # A container that ends with an error leaves its last lines in the pod's status, and so in ours.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "env": build_container_environment(resource),
        "ports": [
            {"name": HTTP_PORT_NAME, "containerPort": HTTP_PORT, "protocol": "TCP"},
            {"name": ADMIN_PORT_NAME, "containerPort": ADMIN_PORT, "protocol": "TCP"},
        ],
        "resources": spec.resources.model_dump(),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        **_probes(spec.probes),
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
            *({"name": file.volume, "mountPath": file.directory, "readOnly": True} for file in files),
        ],
    }


def _probes(probes: ProbesSpec) -> Manifest:
    startup, liveness, readiness = probes.startup, probes.liveness, probes.readiness
    return {
        "startupProbe": _probe(
            "/health/live", startup.period, timeout_seconds=STARTUP_PROBE_TIMEOUT_SECONDS, failure_threshold=startup.failure_threshold
        ),
        "livenessProbe": _probe(
            "/health/live",
            liveness.period,
            timeout_seconds=duration_seconds(liveness.timeout),
            failure_threshold=liveness.failure_threshold,
        ),
        "readinessProbe": _probe(
            "/health/ready",
            readiness.period,
            timeout_seconds=duration_seconds(readiness.timeout),
            failure_threshold=readiness.failure_threshold,
        ),
    }


def _probe(path: str, period: str, *, timeout_seconds: int, failure_threshold: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": ADMIN_PORT_NAME, "scheme": "HTTP"},
        "periodSeconds": duration_seconds(period),
        "timeoutSeconds": timeout_seconds,
        "failureThreshold": failure_threshold,
    }
