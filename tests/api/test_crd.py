"""What a real API server takes and what it refuses, and that a refusal names the field and what is wrong with it."""

import json
from typing import Any

import pytest

from chatbot_operator.crd import build_crd
from devcluster.controlplane import ControlPlane, KubectlFailed
from tests.resources import manifest_of

pytestmark = pytest.mark.api

DIGEST = f"chat@sha256:{'a' * 64}"
IP_MESSAGE = "must name a host, not an IP address in any spelling"
URL_MESSAGE = "must be http(s)://host[:port][/path] without user name, password, query or fragment"
PLAIN_MESSAGE = "must be https; plain http is for Services of the cluster alone"
TAG_MESSAGE = "must have a tag or a digest"
IMAGE_MESSAGE = "must be an image reference"

ACCEPTED: dict[str, dict[str, Any]] = {
    "empty": {},
    "stopped": {"replicas": 0},
    "largest fleet": {"replicas": 1000},
    "image with a tag": {"image": "registry.example.com:5000/team/chat:1.2"},
    "image with every separator": {"image": "localhost:5000/a_b/c__d/e---f.g:v1.0_x-y"},
    "image with a digest": {"image": DIGEST},
    "image with both": {"image": f"chat:1@sha256:{'a' * 64}"},
    "pull secrets": {"imagePullSecrets": [{"name": "a"}, {"name": "b.c"}]},
    "another model": {"model": {"name": "claude-haiku-5-5", "maxTokens": 128_000, "effort": "max"}},
    "secret by name only": {"credentials": {"secretRef": {"name": "other"}}},
    "secret key of a hidden file": {"credentials": {"secretRef": {"key": ".key"}}},
    "empty credentials": {"credentials": {}},
    "prompt of many lines": {"systemPrompt": "Be brief.\n\nBe kind.\n"},
    "prompt of exactly 32 KiB": {"systemPrompt": "é" * 16_384},
    "gateway with a path": {"upstream": {"baseURL": "https://gateway.example.com:8443/anthropic"}},
    "plain Service": {"upstream": {"baseURL": "http://simulator.demo.svc:8000"}},
    "plain Service with a domain": {"upstream": {"baseURL": "http://simulator.demo.svc.cluster.local"}},
    "host whose first label is a number": {"upstream": {"baseURL": "https://127.example.com"}},
    "CPU as an integer": {"resources": {"limits": {"cpu": 2}}},
    "CPU in thousandths equal to the limit": {"resources": {"requests": {"cpu": "1000m"}}},
    "memory as an integer": {"resources": {"limits": {"memory": 536_870_912}}},
    "memory with a fraction": {"resources": {"limits": {"memory": "1.5Gi"}}},
    "no drain": {"drain": {"delay": "0s", "timeout": "0s"}},
    "longest drain": {"drain": {"delay": "30m", "timeout": "29m60s"}},
    "service for the world": {
        "service": {"type": "LoadBalancer", "port": 65_535, "annotations": {"example.com/scheme": "internal", "plain": ""}}
    },
}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "negative replicas": ({"replicas": -1}, "spec.replicas"),
    "too many replicas": ({"replicas": 1001}, "spec.replicas"),
    "replicas as text": ({"replicas": "three"}, "spec.replicas"),
    "unknown field": ({"replica": 3}, 'unknown field "spec.replica"'),
    "image without a tag": ({"image": "chat"}, TAG_MESSAGE),
    "image whose registry has a port, without a tag": ({"image": "registry.example.com:5000/chat"}, TAG_MESSAGE),
    "image in capitals": ({"image": "Chat:1"}, IMAGE_MESSAGE),
    "image with two dots": ({"image": "registry.example..com/chat:1"}, IMAGE_MESSAGE),
    "image with a space": ({"image": "chat :1"}, IMAGE_MESSAGE),
    "image with a short digest": ({"image": "chat@sha256:abc"}, IMAGE_MESSAGE),
    "empty image": ({"image": ""}, "spec.image"),
    "unknown pull policy": ({"imagePullPolicy": "Sometimes"}, "spec.imagePullPolicy"),
    "pull secret without a name": ({"imagePullSecrets": [{}]}, "spec.imagePullSecrets[0].name"),
    "pull secret twice": ({"imagePullSecrets": [{"name": "a"}, {"name": "a"}]}, "spec.imagePullSecrets[1]"),
    "too many pull secrets": ({"imagePullSecrets": [{"name": f"s{index}"} for index in range(9)]}, "spec.imagePullSecrets"),
    "empty model": ({"model": {"name": ""}}, "spec.model.name"),
    "model with a newline": ({"model": {"name": "claude\nX: y"}}, "spec.model.name"),
    "no tokens": ({"model": {"maxTokens": 0}}, "spec.model.maxTokens"),
    "too many tokens": ({"model": {"maxTokens": 128_001}}, "spec.model.maxTokens"),
    "unknown effort": ({"model": {"effort": "heroic"}}, "spec.model.effort"),
    "secret name that is no name": ({"credentials": {"secretRef": {"name": "My_Secret"}}}, "spec.credentials.secretRef.name"),
    "secret name that no Secret can have": ({"credentials": {"secretRef": {"name": "a..b"}}}, "spec.credentials.secretRef.name"),
    "secret name whose part ends in a hyphen": ({"credentials": {"secretRef": {"name": "a-.b"}}}, "spec.credentials.secretRef.name"),
    "secret key that is a folder": ({"credentials": {"secretRef": {"key": ".."}}}, "spec.credentials.secretRef.key"),
    "secret key that begins like a folder": ({"credentials": {"secretRef": {"key": "..key"}}}, "spec.credentials.secretRef.key"),
    "secret key that is a path": ({"credentials": {"secretRef": {"key": "../key"}}}, "spec.credentials.secretRef.key"),
    "secret of another namespace": ({"credentials": {"secretRef": {"namespace": "kube-system"}}}, "unknown field"),
    "empty prompt": ({"systemPrompt": ""}, "spec.systemPrompt"),
    "blank prompt": ({"systemPrompt": " \n\t"}, "must not be blank"),
    "prompt of too many bytes": ({"systemPrompt": "é" * 16_385}, "must not exceed 32768 bytes"),
    "prompt of too many characters": ({"systemPrompt": "x" * 32_769}, "spec.systemPrompt"),
    "plain http to the world": ({"upstream": {"baseURL": "http://api.anthropic.com"}}, PLAIN_MESSAGE),
    "plain http to a name that ends like a Service": ({"upstream": {"baseURL": "http://svc"}}, PLAIN_MESSAGE),
    "plain http to a Service without a namespace": ({"upstream": {"baseURL": "http://simulator.svc"}}, PLAIN_MESSAGE),
    "plain http to a name that contains svc": ({"upstream": {"baseURL": "http://a.b.svcx.example.com"}}, PLAIN_MESSAGE),
    "another scheme": ({"upstream": {"baseURL": "ftp://example.com"}}, URL_MESSAGE),
    "no scheme": ({"upstream": {"baseURL": "api.anthropic.com"}}, URL_MESSAGE),
    "user and password": ({"upstream": {"baseURL": "https://user:pw@example.com/"}}, URL_MESSAGE),
    "user and password before a metadata address": ({"upstream": {"baseURL": "https://user:pw@169.254.169.254/"}}, IP_MESSAGE),
    "query": ({"upstream": {"baseURL": "https://example.com/?a=b"}}, URL_MESSAGE),
    "fragment": ({"upstream": {"baseURL": "https://example.com/#a"}}, URL_MESSAGE),
    "newline": ({"upstream": {"baseURL": "https://example.com\nX: y"}}, URL_MESSAGE),
    "final newline": ({"upstream": {"baseURL": "https://example.com\n"}}, URL_MESSAGE),
    "backslash": ({"upstream": {"baseURL": "https://example.com\\@evil.example"}}, URL_MESSAGE),
    "port zero": ({"upstream": {"baseURL": "https://example.com:0"}}, URL_MESSAGE),
    "port too large": ({"upstream": {"baseURL": "https://example.com:65536"}}, URL_MESSAGE),
    "final dot": ({"upstream": {"baseURL": "https://example.com."}}, URL_MESSAGE),
    **{
        f"address {host}": ({"upstream": {"baseURL": f"https://{host}"}}, IP_MESSAGE)
        for host in (
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0x7f000001",
            "0177.0.0.1",
            "[::1]",
            "[::ffff:127.0.0.1]:443",
            "10.0.0.1:8443/v1",
        )
    },
    "CPU that is a fruit": ({"resources": {"requests": {"cpu": "banana"}}}, "spec.resources.requests.cpu"),
    "negative CPU": ({"resources": {"requests": {"cpu": "-1"}}}, "spec.resources.requests.cpu"),
    "no CPU": ({"resources": {"requests": {"cpu": "0m"}}}, "must be more than zero"),
    "no CPU as an integer": ({"resources": {"limits": {"cpu": 0}}}, "must be more than zero"),
    "memory in thousandths of a byte": ({"resources": {"limits": {"memory": "512m"}}}, "spec.resources.limits.memory"),
    "CPU request over its limit": (
        {"resources": {"requests": {"cpu": "1001m"}, "limits": {"cpu": 1}}},
        "requests.cpu must not exceed limits.cpu",
    ),
    "default memory request over its limit": (
        {"resources": {"limits": {"memory": "64Mi"}}},
        "requests.memory must not exceed limits.memory",
    ),
    "duration in days": ({"drain": {"delay": "1d"}}, "spec.drain.delay"),
    "negative duration": ({"drain": {"delay": "-5s"}}, "spec.drain.delay"),
    "duration without a unit": ({"drain": {"timeout": "300"}}, "spec.drain.timeout"),
    "drain of more than an hour": ({"drain": {"delay": "1s", "timeout": "1h"}}, "must not exceed 1h together"),
    "drain of a century": ({"drain": {"timeout": "999999h9999h"}}, "must not exceed 1h together"),
    "service port zero": ({"service": {"port": 0}}, "spec.service.port"),
    "service port too large": ({"service": {"port": 65_536}}, "spec.service.port"),
    "service without a type": ({"service": {"type": "ExternalName"}}, "spec.service.type"),
    "annotation with a bad key": ({"service": {"annotations": {"not a key": ""}}}, "keys must be qualified names"),
    "annotation of the operator's": ({"service": {"annotations": {"chatbot.dev/intent-hash": "x"}}}, "the operator's own"),
    "too many annotations": ({"service": {"annotations": {f"k{index}": "" for index in range(33)}}}, "spec.service.annotations"),
}

REFUSED_NAMES = ("3bot", "3bot.x", "bot.x", "b" * 51)


def _create(control_plane: ControlPlane, namespace: str, manifest: dict[str, Any], *flags: str) -> dict[str, Any]:
    del manifest["metadata"]["uid"]
    manifest["metadata"]["namespace"] = namespace
    answer: dict[str, Any] = json.loads(
        control_plane.kubectl("create", "--filename=-", "--output=json", *flags, input=json.dumps(manifest))
    )
    return answer


@pytest.mark.parametrize("spec", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepts(control_plane_with_crd: ControlPlane, spec: dict[str, Any]) -> None:
    created = _create(control_plane_with_crd, "default", manifest_of(spec), "--dry-run=server")

    assert created["spec"].keys() >= spec.keys()  # nothing was pruned


@pytest.mark.parametrize(("spec", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses(control_plane_with_crd: ControlPlane, spec: dict[str, Any], message: str) -> None:
    with pytest.raises(KubectlFailed) as caught:
        _create(control_plane_with_crd, "default", manifest_of(spec), "--dry-run=server")

    assert message in str(caught.value)
    assert "evaluating rule" not in str(caught.value)  # a rule that breaks on a value says nothing to a person


@pytest.mark.parametrize("name", REFUSED_NAMES)
def test_refuses_a_name_that_no_service_could_have(control_plane_with_crd: ControlPlane, name: str) -> None:
    with pytest.raises(KubectlFailed, match=r"metadata\.name names a Service: at most 50 lower-case letters"):
        _create(control_plane_with_crd, "default", manifest_of(name=name), "--dry-run=server")


def test_accepts_the_longest_name(control_plane_with_crd: ControlPlane) -> None:
    created = _create(control_plane_with_crd, "default", manifest_of(name="b" * 50), "--dry-run=server")

    assert created["metadata"]["name"] == "b" * 50


def test_spec_is_required(control_plane_with_crd: ControlPlane) -> None:
    manifest = manifest_of()
    del manifest["spec"]

    with pytest.raises(KubectlFailed, match="spec: Required value"):
        _create(control_plane_with_crd, "default", manifest, "--dry-run=server")


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


def test_explain_tells_purpose_default_and_example(control_plane_with_crd: ControlPlane) -> None:
    text = " ".join(control_plane_with_crd.kubectl("explain", "chatbot.spec.drain.timeout").split())

    assert "How long requests in flight may then go on" in text
    assert "Default: `300s`. Example: `2m`." in text


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
    assert status.keys() == build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"].keys()
    assert control_plane_with_crd.kubectl("wait", f"--namespace={namespace}", "--for=condition=Ready", "--timeout=5s", "chatbot/bot")
