from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_operator.desired import desired_state
from chatbot_operator.drift import canonical_quantity, differences
from chatbot_operator.names import INTENT_ANNOTATION
from tests.resources import SETTINGS, resource_of

SPEC = {
    "systemPrompt": "Be brief.",
    "resources": {"limits": {"cpu": "1000m"}},
    "ingress": {"host": "chat.example.com"},
    "monitoring": {"podMonitor": True},
    "scheduling": {"nodeSelector": {"pool": "chat"}, "tolerations": [{"key": "dedicated", "operator": "Exists"}]},
}
CHILDREN = {child["kind"]: child for child in desired_state(resource_of(SPEC), SETTINGS, 3)}
Change = Callable[[dict[str, Any]], object]


def _container(manifest: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = manifest["spec"]["template"]["spec"]["containers"][0]
    return container


def _changed(kind: str, change: Change) -> tuple[str, ...]:
    live = deepcopy(CHILDREN[kind])
    change(live)
    return differences(CHILDREN[kind], live)


DRIFT: dict[str, tuple[str, Change, str]] = {
    "replicas": ("Deployment", lambda live: live["spec"].update(replicas=5), "spec.replicas: 5 → 3"),
    "image": (
        "Deployment",
        lambda live: _container(live).update(image="evil:1"),
        "spec.template.spec.containers[chatbot].image: evil:1 → general-purpose-chatbot:0.1.0",
    ),
    "a variable": (
        "Deployment",
        lambda live: _container(live)["env"][1].update(value="1"),
        "spec.template.spec.containers[chatbot].env[PORT].value: 1 → 8080",
    ),
    "a variable that is gone": (
        "Deployment",
        lambda live: _container(live)["env"].pop(1),
        "spec.template.spec.containers[chatbot].env[PORT]: missing",
    ),
    "a limit": (
        "Deployment",
        lambda live: _container(live)["resources"]["limits"].update(cpu="2"),
        "spec.template.spec.containers[chatbot].resources.limits.cpu: 2 → 1000m",
    ),
    "a capability": (
        "Deployment",
        lambda live: _container(live)["securityContext"]["capabilities"].update(drop=[]),
        "spec.template.spec.containers[chatbot].securityContext.capabilities.drop: 0 → 1 items",
    ),
    "a label": (
        "Service",
        lambda live: live["metadata"]["labels"].pop("app.kubernetes.io/name"),
        "metadata.labels.app.kubernetes.io/name: unset → chatbot",
    ),
    "a service port": ("Service", lambda live: live["spec"]["ports"][0].update(port=81), "spec.ports[80/TCP]: missing"),
    "an egress rule": ("NetworkPolicy", lambda live: live["spec"]["egress"].append({}), "spec.egress: 3 → 2 items"),
    "a wider range of ports": (
        "NetworkPolicy",
        lambda live: live["spec"]["egress"][1]["ports"][0].update(endPort=65_535),
        "spec.egress[1].ports[0].endPort: 65535 → unset",
    ),
    "peers where there are none": (
        "NetworkPolicy",
        lambda live: live["spec"]["ingress"][0].update({"from": []}),
        "spec.ingress[0].from: [] → unset",
    ),
    "a selector of fewer pods": (
        "Service",
        lambda live: live["spec"]["selector"].update(track="canary"),
        "spec.selector.track: canary → unset",
    ),
    "a looser budget": (
        "PodDisruptionBudget",
        lambda live: live["spec"].update(maxUnavailable="100%"),
        "spec.maxUnavailable: 100% → 1",
    ),
    "a path": (
        "Ingress",
        lambda live: live["spec"]["rules"][0]["http"]["paths"].append({"path": "/admin"}),
        "spec.rules[0].http.paths: 2 → 1 items",
    ),
    "an endpoint": (
        "PodMonitor",
        lambda live: live["spec"]["podMetricsEndpoints"][0].update(port="http"),
        "spec.podMetricsEndpoints[0].port: http → admin",
    ),
    "a node's label": (
        "Deployment",
        lambda live: live["spec"]["template"]["spec"]["nodeSelector"].update(disk="ssd"),
        "spec.template.spec.nodeSelector.disk: ssd → unset",
    ),
    "a toleration": (
        "Deployment",
        lambda live: live["spec"]["template"]["spec"]["tolerations"][0].update(effect="NoExecute"),
        "spec.template.spec.tolerations[0].effect: NoExecute → unset",
    ),
    "an owner": (
        "Service",
        lambda live: live["metadata"].pop("ownerReferences"),
        "metadata.ownerReferences[7f2f3f0e-0000-4000-8000-000000000001]: missing",
    ),
    "a prompt": (
        "ConfigMap",
        lambda live: live["data"].update({"system-prompt": "Be rude. " * 10}),
        "data.system-prompt: 90 characters → Be brief.",
    ),
    "no spec at all": (
        "ServiceAccount",
        lambda live: live.pop("automountServiceAccountToken"),
        "automountServiceAccountToken: unset → False",
    ),
}

HARMLESS: dict[str, tuple[str, Change]] = {
    "a canonical quantity": ("Deployment", lambda live: _container(live)["resources"]["limits"].update(cpu="1")),
    "a default of the API server": ("Deployment", lambda live: _container(live)["readinessProbe"].update(successThreshold=1)),
    "an injected sidecar": ("Deployment", lambda live: live["spec"]["template"]["spec"]["containers"].insert(0, {"name": "proxy"})),
    "another variable": ("Deployment", lambda live: _container(live)["env"].append({"name": "TZ", "value": "UTC"})),
    "another order": ("Deployment", lambda live: _container(live)["env"].reverse()),
    "a restart": ("Deployment", lambda live: live["spec"]["template"]["metadata"].setdefault("annotations", {}).update(restartedAt="now")),
    "a node port": ("Service", lambda live: live["spec"]["ports"][0].update(nodePort=30_000)),
    "a cluster address": ("Service", lambda live: live["spec"].update(clusterIP="10.96.0.7")),
    "another annotation": ("Service", lambda live: live["metadata"]["annotations"].update(team="a")),
    "another owner": ("Service", lambda live: live["metadata"]["ownerReferences"].insert(0, {"uid": "other"})),
    "the cluster's ingress class": ("Ingress", lambda live: live["spec"].update(ingressClassName="nginx")),
    "an address": ("Ingress", lambda live: live.update(status={"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}})),
    "a default of another operator": ("PodMonitor", lambda live: live["spec"]["podMetricsEndpoints"][0].update(scheme="http")),
    "a status": ("Deployment", lambda live: live.update(status={"replicas": 1})),
}


def test_missing_child_is_a_difference() -> None:
    assert differences(CHILDREN["Service"], None) == ("missing",)


@pytest.mark.parametrize(("kind", "change", "reason"), DRIFT.values(), ids=DRIFT.keys())
def test_drift_is_named_with_both_values(kind: str, change: Change, reason: str) -> None:
    assert _changed(kind, change) == (reason,)


@pytest.mark.parametrize(("kind", "change"), HARMLESS.values(), ids=HARMLESS.keys())
def test_fields_of_others_are_no_drift(kind: str, change: Change) -> None:
    assert _changed(kind, change) == ()


def test_field_that_is_no_longer_rendered_shows_by_the_seal() -> None:
    before = {child["kind"]: child for child in desired_state(resource_of({**SPEC, "model": {"effort": "low"}}), SETTINGS, 3)}

    assert differences(CHILDREN["Deployment"], before["Deployment"]) == ("the intent changed: a field is no longer set",)


def test_child_without_a_seal_is_applied_again() -> None:
    assert _changed("Service", lambda live: live["metadata"]["annotations"].pop(INTENT_ANNOTATION))
    assert _changed("Service", lambda live: live["metadata"].pop("annotations"))


def test_long_texts_are_not_spelled_out() -> None:
    reasons = _changed("ConfigMap", lambda live: live["data"].update({"system-prompt": "secret " * 1000}))

    assert "secret" not in "".join(reasons)


@pytest.mark.parametrize(
    ("left", "right"),
    [("1000m", "1"), ("0.5", "500m"), (1, "1"), ("1Gi", "1024Mi"), ("1.5Gi", "1536Mi"), ("134217728", "128Mi"), ("1k", "1000"), ("2", 2)],
)
def test_quantities_are_compared_as_numbers(left: object, right: object) -> None:
    assert canonical_quantity(left) == canonical_quantity(right)


@pytest.mark.parametrize("text", ["", "banana", "1Q", "m", None, "1mm"])
def test_what_is_no_quantity_has_no_number(text: object) -> None:
    assert canonical_quantity(text) is None


@given(thousandths=st.integers(1, 10**9))
def test_thousandths_and_decimals_are_one_quantity(thousandths: int) -> None:
    assert canonical_quantity(f"{thousandths}m") == canonical_quantity(str(Decimal(thousandths) / 1000))
