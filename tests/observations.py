"""What a reconcile may observe, as short as tests want to write it, and the status that follows."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from chatbot_operator.fleet import FleetHealth, merge
from chatbot_operator.resource import ChatbotDeployment
from chatbot_operator.status import Observed, derive_status
from tests.resources import SETTINGS, report_of, resource_of

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
BEFORE = "2026-11-22T11:00:00Z"
ALWAYS = {"Ready", "Available", "CredentialsValid", "ModelAvailable", "UpstreamAvailable", "SLOMet"}
"""Conditions that every resource has; the others are there only while they are true."""


def deployment_of(
    *, replicas: int = 3, ready: int = 3, updated: int = 3, conditions: Sequence[dict[str, str]] = (), **metadata: int
) -> dict[str, Any]:
    status = {
        "observedGeneration": metadata.get("observed", 1),
        "replicas": replicas,
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": metadata.get("available", ready),
        "conditions": [*conditions],
    }
    containers = [{"name": "chatbot", "image": "general-purpose-chatbot:0.1.0"}]
    return {
        "metadata": {"generation": metadata.get("generation", 1)},
        "spec": {"template": {"spec": {"containers": containers}}},
        "status": {key: value for key, value in status.items() if value},
    }


def pod_of(uid: str, *, ready: bool = False, revision: str = "h1", created: str = "2026-11-22T11:30:00Z", **status: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}, *status.pop("conditions", [])]
    return {
        "metadata": {
            "name": f"bot-{uid}",
            "namespace": "demo",
            "uid": uid,
            "creationTimestamp": created,
            "labels": {"pod-template-hash": revision},
        },
        "status": {"conditions": conditions, **status},
    }


def waiting_for(reason: str, message: str = "") -> dict[str, Any]:
    return {"containerStatuses": [{"name": "chatbot", "image": "chat:1", "state": {"waiting": {"reason": reason, "message": message}}}]}


def derived(
    observed: Observed, fleet: FleetHealth | None = None, *, resource: ChatbotDeployment | None = None, now: datetime = NOW
) -> dict[str, Any]:
    return derive_status(resource or resource_of(), observed, fleet or merge([], expected=0), settings=SETTINGS, now=now)


def conditions_of(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {condition["type"]: (condition["status"], condition["reason"]) for condition in status["conditions"]}


def message_of(status: dict[str, Any], kind: str) -> str:
    return next(str(condition["message"]) for condition in status["conditions"] if condition["type"] == kind)


def fleet_of(*uids: str, **fields: Any) -> FleetHealth:
    return merge([report_of(uid, **fields) for uid in uids], expected=len(uids))


UNREADY = deployment_of(replicas=4, ready=3, updated=1)
DEADLINE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
COMPLETE = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
QUOTA = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: pods"}
OLD = pod_of("old", ready=True, revision="h0", created="2026-11-22T10:00:00Z")
UNSCHEDULABLE: dict[str, Any] = {
    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available."}]
}
CRASH: dict[str, Any] = {
    "containerStatuses": [
        {
            "name": "chatbot",
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 2, "message": "PORT: is no number\n"}},
        }
    ]
}
