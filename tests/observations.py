"""What a reconcile may observe, as short as tests want to write it, and the status that follows."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from chatbot_operator.fleet import FleetHealth, merge
from chatbot_operator.observed import Observed, Problem, ProblemReason
from chatbot_operator.resource import ChatbotDeployment
from chatbot_operator.status import derive_status
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
        "terminatingReplicas": metadata.get("terminating", 0),
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

counts = st.integers(0, 4)
deployments = st.none() | st.builds(
    lambda replicas, ready, updated, conditions, generation: deployment_of(
        replicas=replicas, ready=ready, updated=updated, conditions=conditions, generation=generation
    ),
    counts,
    counts,
    counts,
    st.lists(st.sampled_from([DEADLINE, COMPLETE, QUOTA]), max_size=2),
    st.integers(1, 2),
)
pods = st.lists(
    st.builds(
        lambda uid, ready, revision, status: pod_of(uid, ready=ready, revision=revision, **status),
        st.sampled_from("abc"),
        st.booleans(),
        st.sampled_from(["h0", "h1"]),
        st.sampled_from([{}, UNSCHEDULABLE, CRASH, waiting_for("ImagePullBackOff", "x" * 5000)]),
    ),
    max_size=4,
)
fleets = st.lists(
    st.builds(
        lambda uid, credentials, model, breaker: report_of(uid, credentials=credentials, model=model, breaker=breaker),
        st.sampled_from("abc"),
        st.sampled_from(["Accepted", "Unverified", "Missing", "Rejected"]),
        st.sampled_from(["Available", "Unverified", "NotFound", "Retired"]),
        st.sampled_from(["closed", "open", "half_open"]),
    ),
    max_size=3,
).map(lambda reports: merge(reports, expected=3))
observations = st.builds(
    lambda deployment, found, problem: Observed(deployment=deployment, pods=tuple(found), problem=problem),
    deployments,
    pods,
    st.none()
    | st.builds(Problem, st.sampled_from(ProblemReason), st.sampled_from(["taken " * 2000, "It does not answer."]), st.booleans()),
)
