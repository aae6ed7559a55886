"""Every namespace of the devcluster enforces the restricted Pod Security standard, whoever makes it: all tests' pods run in it."""

import json

import pytest

from devcluster.controlplane import ControlPlane, KubectlFailed
from scripts.commands import Tools
from scripts.installation import SYSTEM_NAMESPACE
from tests.cluster.places import UPSTREAM_NAMESPACE

pytestmark = pytest.mark.cluster

ROOT_POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root"}, "spec": {"containers": [{"name": "root", "image": "root:1"}]}}


def takes_any_pod(plane: ControlPlane, namespace: str) -> bool:
    """Say whether a pod that runs as root would be admitted."""
    try:
        plane.kubectl("create", "--dry-run=server", f"--namespace={namespace}", "--filename=-", input=json.dumps(ROOT_POD))
    except KubectlFailed as error:
        return 'violates PodSecurity "restricted:latest"' not in str(error)
    return True


def test_no_namespace_takes_a_pod_that_breaks_the_restricted_standard(devcluster: ControlPlane, namespace: str, installed: Tools) -> None:
    namespaces = devcluster.kubectl("get", "namespaces", "--output=jsonpath={.items[?(@.status.phase=='Active')].metadata.name}").split()

    assert {namespace, SYSTEM_NAMESPACE, UPSTREAM_NAMESPACE, "default", "kube-system"} <= {*namespaces}
    assert [name for name in namespaces if takes_any_pod(devcluster, name)] == []
