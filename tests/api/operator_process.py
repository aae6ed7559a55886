"""The real `chatbot-operator` against a real API server, with the rights that the chart grants it and no others."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from chatbot_operator.triggers import CALM_SECONDS
from devcluster import binaries
from devcluster.controlplane import ControlPlane
from tests.api import connections
from tests.waiting import wait_until

CHART = Path(__file__).parents[2] / "charts" / "chatbot-operator"
COMMAND = Path(sys.executable).with_name("chatbot-operator")
LOG_NAMES = "operator-*.log"
SERVICE_IMAGE = "general-purpose-chatbot:test"
QUIET_SECONDS = CALM_SECONDS + 1.5
"""Without a pass, after which all that happened was looked at: what was seen on the beat after a pause, and what that has planned.

What nothing announces is looked at later still: a newborn that has no pods after 5 s, unready pods and what stands in the way after more.
"""
PATHS = {
    "chatbot": "/apis/chatbot.dev/v1alpha1/namespaces/{namespace}/chatbotdeployments",
    "configmap": "/api/v1/namespaces/{namespace}/configmaps",
    "deployment": "/apis/apps/v1/namespaces/{namespace}/deployments",
    "ingress": "/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses",
    "networkpolicy": "/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies",
    "poddisruptionbudget": "/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets",
    "podmonitor": "/apis/monitoring.coreos.com/v1/namespaces/{namespace}/podmonitors",
    "quota": "/api/v1/namespaces/{namespace}/resourcequotas",
    "secret": "/api/v1/namespaces/{namespace}/secrets",
    "service": "/api/v1/namespaces/{namespace}/services",
    "serviceaccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "validatingadmissionpolicy": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
}
"""Where the API server has what kubectl calls by these words."""

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Account:
    """Whom the operator acts as: a service account with the chart's rights."""

    user: str
    kubeconfig: Path
    namespace: str
    lease: str


def grant(plane: ControlPlane, namespace: str, directory: Path, *, watched: Iterable[str] = ()) -> Account:
    """Bind the chart's roles to an account of its own in `namespace`: for the whole cluster, or for what is `watched` alone."""
    name = f"chatbot-operator-{uuid.uuid4().hex[:6]}"
    helm = str(binaries.binary("helm"))
    template = [helm, "template", name, str(CHART), "--namespace", namespace, "--show-only", "templates/rbac.yaml"]
    template += [f"--set-json=watchNamespaces={json.dumps(list(watched))}"]
    roles = subprocess.run(template, capture_output=True, text=True, check=True, timeout=60).stdout
    plane.kubectl("apply", "--filename=-", input=roles)
    user = f"system:serviceaccount:{namespace}:{name}"
    kubeconfig = plane.write_kubeconfig(directory / f"{name}.kubeconfig", user=user, groups=("system:serviceaccounts",))
    return Account(user, kubeconfig, namespace, name)


@dataclass
class OperatorProcess:
    """A running operator."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int

    def lines(self) -> list[dict[str, Any]]:
        """Return the log."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def logged(self, message: str) -> list[dict[str, Any]]:
        """Return the lines with this message."""
        return [line for line in self.lines() if line["message"] == message]

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of the operator's own port; status 0 when it does not answer."""
        try:
            with _direct.open(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that have these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        samples = (line for line in self.get("/metrics")[1].splitlines() if line.startswith((f"{name}{{", f"{name} ")))
        return sum(float(line.rsplit(" ", 1)[1]) for line in samples if all(label in line for label in wanted))

    def wait_until_ready(self) -> None:
        """Return when /readyz says so; fail with the log when the process ended instead."""

        def ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return self.get("/readyz")[0] == 200

        wait_until(ready, seconds=60)

    def leads(self) -> bool:
        """Tell whether this process is the leader."""
        return self.metric("leader_election_master_status") == 1

    def wait_until_idle(self) -> None:
        """Return when nothing waits, and nothing was reconciled for longer than the operator lets a planned pass wait."""
        last, since = -1.0, time.monotonic()

        def quiet() -> bool:
            nonlocal last, since
            count = self.metric("controller_runtime_reconcile_total")
            if count != last or self.metric("workqueue_depth") > 0:
                last, since = count, time.monotonic()
            return time.monotonic() - since > QUIET_SECONDS

        wait_until(quiet, seconds=30)

    def stop(self) -> int:
        """End the operator as kubelet does and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=15)


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def start_operator(account: Account, directory: Path, *, wait: bool = True, **environment: str) -> Iterator[OperatorProcess]:
    """Run `chatbot-operator` until the block ends; its log must then hold no error, and it must have ended with 0 when told to."""
    port = free_port()
    log = directory / LOG_NAMES.replace("*", uuid.uuid4().hex[:6])
    settings = {
        "KUBECONFIG": str(account.kubeconfig),
        "OPERATOR_SERVICE_IMAGE": SERVICE_IMAGE,
        "OPERATOR_NAMESPACE": account.namespace,
        "OPERATOR_LEASE_NAME": account.lease,
        "OPERATOR_WATCH_NAMESPACES": account.namespace,
        "OPERATOR_HTTP_HOST": "127.0.0.1",
        "OPERATOR_HTTP_PORT": str(port),
        "OPERATOR_LOG_LEVEL": "debug",
        **environment,
    }
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OPERATOR_", "KUBE"))}
    with log.open("wb") as output, subprocess.Popen([COMMAND], env=inherited | settings, stdout=output, stderr=output) as process:
        operator = OperatorProcess(process, log, port)
        try:
            if wait:
                operator.wait_until_ready()
                wait_until(operator.leads, seconds=30)
            yield operator
            code = operator.stop() if process.poll() is None else 0
        finally:
            process.kill()
    assert code == 0, log.read_text()
    assert (errors := complaints(log.read_text().splitlines())) == [], f"unexpected in the log: {errors}"


def complaints(lines: Iterable[str]) -> list[str]:
    """Return the lines of an operator's log that speak of a defect: an error, or what did not come from its logger."""
    return [line for line in lines if not line.startswith("{") or '"level":"error"' in line or '"level":"critical"' in line]


@dataclass(frozen=True)
class Requests:
    """What an account asked of the API server, from the audit log."""

    plane: ControlPlane
    user: str

    def made(self, *, name: str = "") -> list[tuple[str, str, int]]:
        """Return (verb, resource[/subresource], status) of each finished request about objects whose name starts with `name`."""
        found = []
        for line in self.plane.audit_log.read_text().splitlines():
            event = json.loads(line)
            reference = event.get("objectRef") or {}
            if event["user"]["username"] != self.user or event["stage"] != "ResponseComplete" or reference.get("resource") == "leases":
                continue
            if reference.get("name", "").startswith(name):
                resource = "/".join(filter(None, (reference.get("resource"), reference.get("subresource"))))
                found.append((event["verb"], resource, event["responseStatus"]["code"]))
        return found

    def writes(self, *, name: str = "") -> list[tuple[str, str, int]]:
        """Return the requests that could change something."""
        return [request for request in self.made(name=name) if request[0] not in ("get", "list", "watch")]


@dataclass(frozen=True)
class Namespace:
    """A namespace of the test's own, as the administrator sees it."""

    plane: ControlPlane
    name: str

    def apply(self, name: str, **spec: Any) -> None:
        """Create or change a ChatbotDeployment."""
        resource = {"apiVersion": "chatbot.dev/v1alpha1", "kind": "ChatbotDeployment", "metadata": {"name": name}, "spec": spec}
        self.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", input=json.dumps(resource))

    def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002 (as subprocess.run names it)
        """Run kubectl in this namespace."""
        return self.plane.kubectl(f"--namespace={self.name}", *arguments, input=input)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return an object, or None when it does not exist; a kubectl for each look would cost more than what is looked at."""
        path = PATHS[kind].format(namespace=self.name)
        status, content = connections.send(self.plane, connections.Request("GET", f"{path}/{name}", None, {}))
        if status == HTTPStatus.NOT_FOUND:
            return None
        assert status == HTTPStatus.OK, content
        manifest: dict[str, Any] = json.loads(content)
        return manifest

    def condition(self, name: str, type_: str) -> dict[str, Any] | None:
        """Return a condition of a ChatbotDeployment."""
        resource = self.get("chatbot", name) or {}
        return next((c for c in resource.get("status", {}).get("conditions", ()) if c["type"] == type_), None)

    def wait_for_status(self, name: str) -> dict[str, Any]:
        """Return the resource when its status speaks of its newest generation."""

        def current(resource: dict[str, Any] | None) -> bool:
            return bool(resource) and resource["status"]["observedGeneration"] == resource["metadata"]["generation"]  # type: ignore[index] # bool above

        found = wait_until(lambda: self.get("chatbot", name), current)
        assert found is not None
        return found
