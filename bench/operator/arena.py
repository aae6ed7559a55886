"""A fresh cluster for one candidate: a control plane, a node and pods that kwok plays, and a stub that answers the pods' reports."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.operator.api import MERGE, USER, Api, Readiness, Refused, readiness
from bench.operator.audit import AuditLog
from bench.operator.candidates import NAMESPACE
from bench.operator.installed import HERE, ROOT
from bench.operator.network import PODS
from bench.operator.paths import DEPLOYMENTS, RESOURCES, namespace_of, resource_name
from devcluster import binaries, processes
from devcluster.controlplane import ControlPlane, control_plane

ACCOUNT = "bench-candidate"
CRD = ROOT / "crds/chatbotdeployments.chatbot.dev.yaml"
NODE = "played"
PODS_PER_RESOURCE = 2
UNHINDERED = ("--kube-api-qps=2000", "--kube-api-burst=4000")
"""The controllers' usual 20 requests a second would hide the candidate behind them."""
_READY_SECONDS = 60.0


@dataclass(frozen=True)
class Arena:
    """A running cluster, and what the benchmark does and sees in it."""

    plane: ControlPlane
    kubeconfig: Path
    api: Api
    audit: AuditLog
    ready: Readiness

    def make_namespaces(self, resources: int) -> None:
        """Create the namespaces of so many resources."""
        for namespace in sorted({namespace_of(resource_name(position)) for position in range(resources)}):
            _make_namespace(self.api, namespace)

    def create(self, name: str) -> int:
        """Create a resource and return its generation."""
        spec = {"replicas": PODS_PER_RESOURCE, "credentials": {"secretRef": {"name": "chatbot-secrets"}}}
        body = {"apiVersion": "chatbot.dev/v1alpha1", "kind": "ChatbotDeployment", "metadata": {"name": name}, "spec": spec}
        return int(self.api.request("POST", RESOURCES.of(name), body)["metadata"]["generation"])

    def change(self, name: str, *, max_tokens: int) -> int:
        """Change what the pods are started with, and return the generation."""
        patch = {"spec": {"model": {"maxTokens": max_tokens}}}
        return int(self.api.request("PATCH", RESOURCES.one(name), patch, content_type=MERGE)["metadata"]["generation"])

    def delete(self, path: str) -> None:
        """Delete a child."""
        self.api.request("DELETE", path)

    def is_available(self, name: str) -> bool:
        """Tell whether the Deployment of this name is there, and its pods have been ready for long enough."""
        try:
            deployment = self.api.request("GET", DEPLOYMENTS.one(name))
        except Refused:
            return False
        return bool(deployment.get("status", {}).get("availableReplicas") == PODS_PER_RESOURCE)

    def holder(self, lease: str) -> str:
        """Return who holds a Lease; empty if nobody does."""
        try:
            found = self.api.request("GET", f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{lease}")
        except Refused:
            return ""
        return found["spec"].get("holderIdentity") or ""


@contextmanager
def arena(folder: Path, stub: Path) -> Iterator[Arena]:
    """Run a cluster in `folder` until the block ends."""
    processes.stop_all(folder, grace_seconds=0)
    shutil.rmtree(folder, ignore_errors=True)
    with control_plane(folder, schedules=True, controller_flags=UNHINDERED) as plane, closing(Api(plane)) as api:
        plane.kubectl("apply", "--server-side", "--filename", str(CRD))
        _make_namespace(api, NAMESPACE)
        processes.wait_until(lambda: _is_served(api), what="the resources to be served", timeout_seconds=_READY_SECONDS)
        _play_node(plane, api)
        kubeconfig = plane.write_kubeconfig(folder / "candidate.kubeconfig", user=ACCOUNT, groups=("system:masters",))
        processes.start(plane.state, "stub", [stub], environment={"KUBECONFIG": str(plane.kubeconfig)})
        with readiness(plane, RESOURCES.path) as ready, closing(AuditLog(plane.audit_log, users=(ACCOUNT, USER))) as audit:
            yield Arena(plane, kubeconfig, api, audit, ready)


def _make_namespace(api: Api, name: str) -> None:
    api.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})


def _is_served(api: Api) -> bool:
    try:
        api.request("GET", RESOURCES.path)
    except Refused:
        return False
    return True


def _play_node(plane: ControlPlane, api: Api) -> None:
    kwok: list[str | Path] = [
        binaries.binary("kwok"),
        f"--config={HERE / 'kwok.yaml'}",
        f"--kubeconfig={plane.kubeconfig}",
        "--manage-all-nodes",
        f"--cidr={PODS}",
        "--node-ip=127.0.0.1",
        "--node-lease-duration-seconds=40",
    ]
    processes.start(plane.state, "kwok", kwok)
    labels = {"kubernetes.io/hostname": NODE, "topology.kubernetes.io/zone": "only"}
    api.request("POST", "/api/v1/nodes", {"metadata": {"name": NODE, "labels": labels}})

    def schedulable() -> bool:
        processes.require_running(plane.state, "kwok")
        node = api.request("GET", f"/api/v1/nodes/{NODE}")
        conditions = {condition["type"]: condition["status"] for condition in node["status"].get("conditions") or ()}
        return conditions.get("Ready") == "True" and not node["spec"].get("taints")

    what = f"the node that kwok plays (log: {processes.log_path(plane.state, 'kwok')})"
    processes.wait_until(schedulable, what=what, timeout_seconds=_READY_SECONDS)
