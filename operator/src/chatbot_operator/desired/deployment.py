"""The Deployment and its pods: restricted Pod Security, probes on the admin port, a rollout that never has too few pods.

The pod template does not depend on the number of pods: scaling must not restart any.
"""

import hashlib

from chatbot_operator import names
from chatbot_operator.desired.configuration import PROMPT_KEY
from chatbot_operator.desired.environment import KEY_DIRECTORY, KEY_FILE, PROMPT_DIRECTORY, PROMPT_FILE, build_container_environment
from chatbot_operator.desired.ownership import build_child
from chatbot_operator.desired.ports import ADMIN_PORT, ADMIN_PORT_NAME, HTTP_PORT, HTTP_PORT_NAME
from chatbot_operator.resource import ChatbotDeployment, ChatbotSpec, Manifest
from chatbot_operator.settings import Settings

USER_ID = 1001
_GROUP_READABLE = 0o440


def build_deployment(resource: ChatbotDeployment, settings: Settings, replicas: int) -> Manifest:
    """Return the Deployment with `replicas` pods."""
    name = names.deployment(resource.name)
    return build_child(resource, api_version="apps/v1", kind="Deployment", name=name) | {
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 5,
            "minReadySeconds": 5,
            "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": names.selector_labels(resource.name)},
            "template": _pod_template(resource, settings),
        }
    }


def _pod_template(resource: ChatbotDeployment, settings: Settings) -> Manifest:
    return {"metadata": _pod_metadata(resource), "spec": _pod_spec(resource, settings)}


def _pod_metadata(resource: ChatbotDeployment) -> Manifest:
    metadata: Manifest = {"labels": names.labels(resource.name)}
    if resource.spec.system_prompt is not None:
        # The pods reread the file within kubelet's sync period, but only a rollout lets Ready say that this generation's prompt is in use.
        metadata["annotations"] = {names.PROMPT_HASH_ANNOTATION: hashlib.sha256(resource.spec.system_prompt.encode()).hexdigest()[:32]}
    return metadata


def _pod_spec(resource: ChatbotDeployment, settings: Settings) -> Manifest:
    spec = resource.spec
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
        "topologySpreadConstraints": [_spread(resource, key) for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")],
        "containers": [_container(resource, settings)],
        "volumes": _volumes(resource),
    }
    if spec.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": secret.name} for secret in spec.image_pull_secrets]
    return pod


def _container(resource: ChatbotDeployment, settings: Settings) -> Manifest:
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
        "startupProbe": _probe("/health/live", period_seconds=1, timeout_seconds=2, failure_threshold=60),
        "livenessProbe": _probe("/health/live", period_seconds=10, timeout_seconds=5, failure_threshold=6),
        "readinessProbe": _probe("/health/ready", period_seconds=5, timeout_seconds=3, failure_threshold=2),
        "volumeMounts": _volume_mounts(spec),
    }


def _probe(path: str, *, period_seconds: int, timeout_seconds: int, failure_threshold: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": ADMIN_PORT_NAME, "scheme": "HTTP"},
        "periodSeconds": period_seconds,
        "timeoutSeconds": timeout_seconds,
        "failureThreshold": failure_threshold,
    }


def _spread(resource: ChatbotDeployment, topology_key: str) -> Manifest:
    return {
        "maxSkew": 1,
        "topologyKey": topology_key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": names.selector_labels(resource.name)},
        "matchLabelKeys": [names.POD_TEMPLATE_HASH_LABEL],
    }


def _volume_mounts(spec: ChatbotSpec) -> list[Manifest]:
    mounts: list[Manifest] = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "credentials", "mountPath": KEY_DIRECTORY, "readOnly": True}]  # noqa: S108
    if spec.system_prompt is not None:
        mounts.append({"name": "prompt", "mountPath": PROMPT_DIRECTORY, "readOnly": True})
    return mounts


def _volumes(resource: ChatbotDeployment) -> list[Manifest]:
    secret = resource.spec.credentials.secret_ref
    volumes: list[Manifest] = [
        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        {
            "name": "credentials",
            "secret": {
                "secretName": secret.name,
                # The pods start without the Secret and say so in their report; it appears in the directory once it is created.
                "optional": True,
                "defaultMode": _GROUP_READABLE,
                "items": [{"key": secret.key, "path": KEY_FILE}],
            },
        },
    ]
    if resource.spec.system_prompt is not None:
        config_map = {"name": names.prompt_config_map(resource.name), "items": [{"key": PROMPT_KEY, "path": PROMPT_FILE}]}
        volumes.append({"name": "prompt", "configMap": {**config_map, "defaultMode": _GROUP_READABLE}})
    return volumes
