"""What kubectl shows of the resource: its defaults, columns and documentation, and what a status may hold."""

import json
import re

import pytest

from chatbot_operator.crd import build_crd
from chatbot_operator.resource import Manifest
from devcluster.controlplane import ControlPlane, KubectlFailed
from tests.resources import manifest_of

pytestmark = pytest.mark.api


SCHEMA = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
EXPLANATIONS = {
    "chatbot": ("A chat service on Claude", "What you want. Every field has a default; {} is a complete chat service."),
    "chatbot.spec": ("Durations are written like 1m30s or 250ms.", "upstream <Object> The API that the pods talk to."),
    "chatbot.spec.drain.timeout": ("How long requests in flight may then go on", "Default: `300s`. Example: `2m`."),
    "chatbot.spec.upstream.timeouts": ("How long the pods wait for the API.", "connect <string> To connect to the API."),
    "chatbot.spec.rollout.maxSurge": ("Pods beyond the replicas during a rollout", "Default: `1`. Example: `25%`."),
    "chatbot.spec.scheduling.affinity": ("passed on as it is (see kubectl explain pod.spec.affinity)",),
    "chatbot.spec.clientAuth.mode": ("ENUM: None Token", "demands `Authorization: Bearer` with one of the tokens"),
    "chatbot.status.slo.p95Milliseconds": ("95 of 100 JSON requests were answered within it, in ms.",),
}


def _create(control_plane: ControlPlane, namespace: str, manifest: Manifest, *flags: str) -> Manifest:
    del manifest["metadata"]["uid"]
    manifest["metadata"]["namespace"] = namespace
    answer: Manifest = json.loads(control_plane.kubectl("create", "--filename=-", "--output=json", *flags, input=json.dumps(manifest)))
    return answer


def test_kubectl_reports_every_unknown_field(control_plane_with_crd: ControlPlane, namespace: str) -> None:
    with pytest.raises(KubectlFailed) as caught:
        _create(control_plane_with_crd, namespace, manifest_of({"replica": 3, "model": {"nme": "a"}}), "--validate=strict")

    assert 'unknown field "spec.replica"' in str(caught.value)
    assert 'unknown field "spec.model.nme"' in str(caught.value)


def test_newborn_has_every_default_and_counts_as_not_observed(control_plane_with_crd: ControlPlane, namespace: str) -> None:
    created = _create(control_plane_with_crd, namespace, manifest_of({}))

    assert created["status"] == {
        "observedGeneration": -1,
        "state": "Pending",
        "summary": "The operator has not looked at this resource yet.",
    }
    assert created["spec"] == {
        "replicas": 3,
        "imagePullPolicy": "IfNotPresent",
        "model": {"name": "claude-sonnet-5-5", "maxTokens": 1024},
        "credentials": {"secretRef": {"name": "chatbot-secrets", "key": "anthropic-api-key"}},
        "upstream": {
            "baseURL": "https://api.anthropic.com",
            "timeouts": {"connect": "5s", "firstByte": "15s", "idle": "60s", "total": "600s"},
            "retries": {"maxAttempts": 3, "initialBackoff": "1s", "maxBackoff": "10s", "budgetPercent": 20},
            "circuitBreaker": {"failureThreshold": 5, "resetTimeout": "30s"},
        },
        "limits": {
            "requestTimeout": "30s",
            "maxRequestBytes": 10_485_760,
            "requestsPerSecond": 100,
            "maxInFlight": 200,
            "queue": 50,
            "queueTimeout": "5s",
        },
        "clientAuth": {"mode": "None"},
        "autoscaling": {
            "enabled": False,
            "minReplicas": 2,
            "maxReplicas": 10,
            "targetInFlightPerPod": 20,
            "scaleDownStabilization": "300s",
        },
        "rollout": {"maxSurge": 1, "maxUnavailable": 0, "minReadySeconds": 5, "progressDeadline": "600s"},
        "drain": {"delay": "5s", "timeout": "300s"},
        "probes": {
            "startup": {"period": "1s", "failureThreshold": 60},
            "liveness": {"period": "10s", "timeout": "5s", "failureThreshold": 6},
            "readiness": {"period": "5s", "timeout": "3s", "failureThreshold": 2},
        },
        "slo": {"p95": "3s", "errorRatePercent": "1", "availabilityPercent": "99.9", "window": "1h", "minSamples": 100},
        "service": {"type": "ClusterIP", "port": 80},
        "networkPolicy": {"enabled": True},
        "resources": {"requests": {"cpu": "250m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
        "logging": {"level": "info", "format": "json"},
        "monitoring": {"podMonitor": False},
    }


def test_scale_writes_replicas_and_short_names_work(control_plane_with_crd: ControlPlane, namespace: str) -> None:
    _create(control_plane_with_crd, namespace, manifest_of({}))

    control_plane_with_crd.kubectl("scale", f"--namespace={namespace}", "--replicas=5", "chatbot/bot")

    assert control_plane_with_crd.kubectl("get", f"--namespace={namespace}", "cbd/bot", "--output=jsonpath={.spec.replicas}") == "5"
    assert "chatbotdeployment.chatbot.dev/bot" in control_plane_with_crd.kubectl(
        "get", f"--namespace={namespace}", "chatbots", "--output=name"
    )


def test_columns_show_what_the_status_says(control_plane_with_crd: ControlPlane, namespace: str) -> None:
    _create(control_plane_with_crd, namespace, manifest_of({}))
    status = {
        "observedGeneration": 1,
        "ready": "2/3",
        "state": "Progressing",
        "summary": "2 of 3 pods are ready.",
        "endpoint": "http://bot.demo.svc",
    }

    control_plane_with_crd.kubectl(
        "patch",
        f"--namespace={namespace}",
        "chatbot/bot",
        "--subresource=status",
        "--type=merge",
        "--patch",
        json.dumps({"status": status}),
    )

    wide = control_plane_with_crd.kubectl("get", f"--namespace={namespace}", "chatbot", "--output=wide").splitlines()
    assert wide[0].split() == ["NAME", "READY", "STATE", "MODEL", "AGE", "BREAKER", "P95", "ERR%", "ENDPOINT", "MESSAGE"]
    assert "bot    2/3     Progressing   claude-sonnet-5-5" in wide[1]
    assert "http://bot.demo.svc   2 of 3 pods are ready." in wide[1]
    assert control_plane_with_crd.kubectl("get", f"--namespace={namespace}", "chatbot").splitlines()[0].split() == wide[0].split()[:5]


def test_explain_reads_like_documentation(control_plane_with_crd: ControlPlane) -> None:
    for path, lines in EXPLANATIONS.items():
        text = " ".join(control_plane_with_crd.kubectl("explain", path).split())

        assert [line for line in lines if line not in text] == [], text


def test_explain_knows_every_field(control_plane_with_crd: ControlPlane) -> None:
    text = control_plane_with_crd.kubectl("explain", "chatbot", "--recursive")

    assert set(re.findall(r"^ +(\w+)\t<", text, re.MULTILINE)) >= _field_names(SCHEMA)


def _field_names(schema: Manifest) -> set[str]:
    names = set(schema.get("properties", {}))
    parts = [*schema.get("properties", {}).values(), schema.get("items", {})]
    return names.union(*(_field_names(part) for part in parts if part))


def test_every_status_field_survives_a_write(control_plane_with_crd: ControlPlane, namespace: str) -> None:
    _create(control_plane_with_crd, namespace, manifest_of({}))
    status = {
        "observedGeneration": 1,
        "replicas": 3,
        "readyReplicas": 3,
        "updatedReplicas": 3,
        "selector": "app.kubernetes.io/instance=bot",
        "ready": "3/3",
        "state": "Ready",
        "summary": "3 of 3 pods are ready.",
        "image": "chat:1",
        "endpoint": "http://bot.demo.svc",
        "operatorVersion": "0.1.0",
        "upstream": {
            "breaker": "half_open",
            "breakerClosed": 1,
            "breakerOpen": 0,
            "breakerHalfOpen": 2,
            "lastErrorType": "overloaded_error",
        },
        "credentials": {"state": "Accepted", "podsCurrent": 3},
        "slo": {
            "p95Milliseconds": 820,
            "timeToFirstTokenP95Milliseconds": 410,
            "errorRatePercent": "0.25",
            "availabilityPercent": "99.75",
            "samples": 1200,
        },
        "usage": {"inputTokens": 120_000_000_000, "outputTokens": 48_000},
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "PodsReady",
                "message": "3 of 3 pods are ready.",
                "lastTransitionTime": "2026-11-22T12:00:00Z",
                "observedGeneration": 1,
            }
        ],
    }

    patch = json.dumps({"status": status})
    control_plane_with_crd.kubectl(
        "patch", f"--namespace={namespace}", "chatbot/bot", "--subresource=status", "--type=merge", "--patch", patch
    )

    stored = json.loads(control_plane_with_crd.kubectl("get", f"--namespace={namespace}", "chatbot/bot", "--output=json"))
    assert stored["status"] == status
    assert status.keys() == SCHEMA["properties"]["status"]["properties"].keys()
    assert control_plane_with_crd.kubectl("wait", f"--namespace={namespace}", "--for=condition=Ready", "--timeout=5s", "chatbot/bot")
