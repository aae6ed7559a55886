"""A control plane of this module's own: its API server is stopped, its CRD deleted."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from chatbot_operator.informer import OWNED_KINDS
from devcluster import processes
from devcluster.controlplane import ControlPlane
from devcluster.controlplane import control_plane as run_control_plane
from tests.api import connections
from tests.api.definitions import CRD, install
from tests.api.operator_process import Account, Namespace, OperatorProcess, Requests, grant, start_operator
from tests.waiting import wait_until

pytestmark = pytest.mark.api

OUTAGE_SECONDS = 4


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with run_control_plane(tmp_path_factory.mktemp("fragile")) as plane:
        yield plane
        connections.close(plane)


@pytest.fixture(scope="module")
def team(plane: ControlPlane) -> Namespace:
    plane.kubectl("create", "namespace", "team")
    return Namespace(plane, "team")


@pytest.fixture(scope="module")
def account(team: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Account:
    return grant(team.plane, team.name, tmp_path_factory.mktemp("account"))


@pytest.fixture(scope="module")
def operator(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """An operator for the whole cluster, started before its CRD exists."""
    directory = tmp_path_factory.mktemp("operator")
    with start_operator(account, directory, wait=False, OPERATOR_WATCH_NAMESPACES="", OPERATOR_RESYNC_INTERVAL_SECONDS="10") as operator:
        yield operator


POD_MONITORS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "podmonitors.monitoring.coreos.com"},
    "spec": {
        "group": "monitoring.coreos.com",
        "scope": "Namespaced",
        "names": {"kind": "PodMonitor", "plural": "podmonitors", "singular": "podmonitor"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


def pod_monitors(team: Namespace) -> str:
    return team.kubectl("get", "podmonitors.monitoring.coreos.com", "--output=name").strip()


def reconciled(team: Namespace, name: str) -> bool:
    resource = team.get("chatbot", name)
    return resource is not None and resource["status"]["observedGeneration"] == 1 and team.get("deployment", name) is not None


def test_operator_waits_for_the_crd_and_starts_with_it(team: Namespace, operator: OperatorProcess) -> None:
    wait_until(lambda: operator.logged("list of chatbotdeployments failed, retrying"), seconds=60)
    assert operator.get("/readyz") == (503, "the ChatbotDeployments are not listed yet\n")
    assert operator.get("/livez")[0] == 200

    install(team.plane, CRD.read_text())
    team.apply("first", replicas=0)

    wait_until(lambda: reconciled(team, "first"), seconds=60)
    assert operator.get("/readyz") == (200, "ok\n")


def test_operator_survives_an_api_outage_and_handles_a_new_resource(team: Namespace, operator: OperatorProcess, account: Account) -> None:
    wait_until(operator.leads, seconds=30)
    pid = operator.process.pid
    processes.stop(team.plane.state, "kube-apiserver", grace_seconds=0)
    wait_until(lambda: operator.logged("kubernetes api unreachable"))
    ends_at = time.monotonic() + OUTAGE_SECONDS
    wait_until(lambda: time.monotonic() >= ends_at, seconds=OUTAGE_SECONDS + 5)
    team.plane.start()
    before = Requests(team.plane, account.user).writes(name="first")

    team.apply("after-the-outage", replicas=0)

    wait_until(lambda: reconciled(team, "after-the-outage"), seconds=45)
    assert operator.process.poll() is None
    assert operator.process.pid == pid
    assert operator.get("/livez")[0] == 200
    operator.wait_until_idle()
    changed = Requests(team.plane, account.user).writes(name="first")[len(before) :]
    assert [write for write in changed if write[1] != "chatbotdeployments/status"] == []


def test_optional_kind_is_used_from_when_the_cluster_has_it_until_it_has_it_no_more(team: Namespace, operator: OperatorProcess) -> None:
    team.apply("monitored", replicas=0, monitoring={"podMonitor": True})
    wait_until(lambda: reconciled(team, "monitored"), seconds=60)

    install(team.plane, json.dumps(POD_MONITORS))
    wait_until(lambda: pod_monitors(team), seconds=60)
    team.kubectl("delete", pod_monitors(team), "--wait=false")
    wait_until(lambda: pod_monitors(team))
    team.plane.kubectl("delete", "crd/podmonitors.monitoring.coreos.com")

    wait_until(lambda: operator.logged("optional kind is not available"), seconds=60)
    team.apply("not-monitored", replicas=0, monitoring={"podMonitor": True})
    wait_until(lambda: reconciled(team, "not-monitored"), seconds=60)
    assert operator.get("/readyz") == (200, "ok\n")


def lines_about(namespace: str, operator: OperatorProcess) -> list[dict[str, Any]]:
    """Return the log's lines above debug that name a namespace, in whatever field or text."""
    return [line for line in operator.lines() if line["level"] != "debug" and namespace in json.dumps(line)]


def test_namespace_that_is_being_deleted_is_left_in_peace(plane: ControlPlane, operator: OperatorProcess) -> None:
    plane.kubectl("create", "namespace", "doomed")
    doomed = Namespace(plane, "doomed")
    finalized = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "last", "finalizers": ["example.com/hold"]}}
    doomed.kubectl("create", "--filename=-", input=json.dumps(finalized))
    doomed.apply("bot", replicas=0)
    wait_until(lambda: reconciled(doomed, "bot"), seconds=60)
    before = lines_about("doomed", operator)

    plane.kubectl("delete", "namespace", "doomed", "--wait=false")
    wait_until(lambda: doomed.get("chatbot", "bot"), lambda resource: resource is None, seconds=60)
    operator.wait_until_idle()
    left = doomed.kubectl("get", "deployment,service,serviceaccount,networkpolicy,poddisruptionbudget", "--output=name")
    doomed.kubectl("patch", "configmap", "last", "--type=merge", '--patch={"metadata":{"finalizers":null}}')

    assert "bot" not in left
    lines = lines_about("doomed", operator)
    assert [line["message"] for line in before] == ["children applied"]
    assert [line for line in lines if line["level"] != "info"] == []
    assert len(lines) - len(before) <= len(OWNED_KINDS), lines  # each kind goes once; a storm is a line for every try
