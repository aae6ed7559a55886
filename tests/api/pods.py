"""Plays the kubelet for pods that no scheduler has placed: they turn ready as soon as they are looked at."""

import json
from datetime import UTC, datetime
from typing import Any

from devcluster.controlplane import KubectlFailed
from tests.api.operator_process import Namespace
from tests.waiting import wait_until


def make_pods_ready(team: Namespace, name: str) -> None:
    """Make every pod of the resource ready."""
    listed = json.loads(team.kubectl("get", "pods", f"--selector=app.kubernetes.io/instance={name}", "--output=json"))
    for pod in listed["items"]:
        if pod["status"]["phase"] != "Running":
            _make_ready(team, pod["metadata"]["name"])


def _make_ready(team: Namespace, pod: str) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}]}
    try:
        team.kubectl("patch", "pod", pod, "--subresource=status", f"--patch={json.dumps({'status': status})}")
    except KubectlFailed as error:
        if "NotFound" not in str(error):  # a rollout may just have removed it
            raise


def run_until_ready(team: Namespace, name: str) -> dict[str, Any]:
    """Return the resource once its newest generation is Ready, after making ready what pods there are again and again."""

    def observe() -> dict[str, Any]:
        make_pods_ready(team, name)
        return team.get("chatbot", name) or {}

    def is_ready(resource: dict[str, Any]) -> bool:
        generation = resource["metadata"]["generation"]
        conditions = resource["status"].get("conditions", ())
        return any(c["type"] == "Ready" and c["status"] == "True" and c["observedGeneration"] == generation for c in conditions)

    return wait_until(observe, is_ready, seconds=60)
