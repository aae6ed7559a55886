"""The control plane as plain processes: etcd, kube-apiserver, kube-controller-manager and, where there is a node, kube-scheduler.

The devcluster runs one on a fixed port; `control_plane` runs one without a node on a free port, up in seconds, any number at once, gone
with the process that asked for it. etcd listens on a socket file only; the controllers serve nothing: one port in all.
"""

import http.client
import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from devcluster import binaries, processes
from devcluster.certificates import Authority, KeyPair
from devcluster.errors import DevclusterError
from devcluster.network import SERVICE_CIDR
from devcluster.ports import reserved_port
from devcluster.state import write_private

API_SERVER_ADDRESS = "10.96.0.1"  # what pods see: the first address of the Services' range
ISSUER = "https://kubernetes.default.svc"
ADMIN = "devcluster-admin"
AUDIT_LOG_MEGABYTES = 200
KUBECTL_SECONDS = 120
READY_SECONDS = 90
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],  # user, verb, resource and answer of every request, and no content: no Secret is logged
}
POD_SECURITY = {
    "apiVersion": "apiserver.config.k8s.io/v1",
    "kind": "AdmissionConfiguration",
    "plugins": [
        {
            "name": "PodSecurity",
            "configuration": {
                "apiVersion": "pod-security.admission.config.k8s.io/v1",
                "kind": "PodSecurityConfiguration",
                "defaults": {"enforce": "restricted", "enforce-version": "latest"},  # a namespace's own label overrides it
            },
        }
    ],
}


class KubectlFailed(DevclusterError):
    """kubectl answered with an error; the message is its standard error."""


@dataclass(frozen=True)
class ControlPlane:
    """A control plane whose processes, keys, data and logs live in `state`. `start` repairs whatever does not run."""

    state: Path
    port: int
    bind_address: str = "127.0.0.1"
    node_address: str | None = None  # where pods reach the API server; None: there is no node, hence no scheduler
    ephemeral: bool = False  # data outlives no crash of the machine, and the port is one of ours (`reserved_port`)
    schedules: bool = False  # run kube-scheduler without a node_address too: for nodes that are played
    controller_flags: tuple[str, ...] = ()  # more of them for kube-controller-manager and kube-scheduler

    @property
    def url(self) -> str:
        """The API server's address for programs on this machine."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.state / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """One JSON line for each stage of each request: user, verb, objectRef, responseStatus."""
        return self.state / "audit.log"

    @property
    def kubelet_client(self) -> str:
        """The user that the API server is to kubelets; what it may do there is granted with the node."""
        return "kube-apiserver"

    @cached_property
    def authority(self) -> Authority:
        """The cluster's certificate authority; creates it."""
        return Authority(self.state / "certificates")

    def start(self) -> bool:
        """Start what does not run, wait until all of it works, and return whether anything was started. Raises ProcessFailed."""
        self.state.mkdir(parents=True, exist_ok=True)
        self.write_kubeconfig(self.kubeconfig, user=ADMIN, groups=("system:masters",))
        started = [self._start_etcd(), self._start_api_server()]
        processes.wait_until_ready(self.state, "kube-apiserver", self.ready, timeout_seconds=READY_SECONDS)
        started.append(self._start_controller("kube-controller-manager", *self._controller_manager_flags()))
        if self.node_address or self.schedules:
            started.append(self._start_controller("kube-scheduler"))
        processes.wait_until_ready(self.state, "kube-controller-manager", self._controllers_work, timeout_seconds=READY_SECONDS)
        return any(started)

    def stop(self) -> None:
        """Stop all of it, the users of a part before the part."""
        for name in ("kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"):
            processes.stop(self.state, name)

    def ready(self) -> bool:
        """Say whether the API server answers that it is ready."""
        return self._get("/readyz") == http.client.OK

    def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002  # as subprocess.run names it
        """Run kubectl as administrator and return its standard output. Raises KubectlFailed."""
        command = [
            str(binaries.binary("kubectl")),
            f"--kubeconfig={self.kubeconfig}",
            f"--cache-dir={self.state}/kubectl-cache",
            *arguments,
        ]
        finished = subprocess.run(command, input=input, capture_output=True, text=True, check=False, timeout=KUBECTL_SECONDS)
        if finished.returncode:
            raise KubectlFailed(finished.stderr.strip())
        return finished.stdout

    def write_kubeconfig(self, path: Path, *, user: str, groups: tuple[str, ...] = ()) -> Path:
        """Write a kubeconfig for any user of any groups: what it may do is up to RBAC."""
        pair = self.authority.issue(user.replace(":", "-"), name=user, organizations=groups)
        return self.authority.kubeconfig(path, server=self.url, pair=pair)

    def _start_etcd(self) -> bool:
        flags = [
            "--data-dir=etcd",
            "--listen-client-urls=unix://etcd.sock",
            "--advertise-client-urls=http://127.0.0.1:0",  # a socket file is refused here; there is one member, nobody reads it
            "--listen-peer-urls=http://127.0.0.1:0",
            "--log-level=warn",
            *(["--unsafe-no-fsync"] if self.ephemeral else []),
        ]
        return processes.start(self.state, "etcd", [binaries.binary("etcd"), *flags])

    def _start_api_server(self) -> bool:
        policy = self.state / "audit-policy.json"
        write_private(policy, json.dumps(AUDIT_POLICY).encode())
        admission = self.state / "admission.json"
        write_private(admission, json.dumps(POD_SECURITY).encode())
        serving = self._serving()
        kubelet_client = self.authority.issue("kubelet-client", name=self.kubelet_client)
        flags = [
            f"--secure-port={self.port}",
            f"--bind-address={self.bind_address}",
            f"--advertise-address={self.node_address or self.bind_address}",
            f"--endpoint-reconciler-type={'lease' if self.node_address else 'none'}",
            f"--permit-port-sharing={str(self.ephemeral).lower()}",
            "--etcd-servers=unix://etcd.sock",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
            "--anonymous-auth=false",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            *([f"--admission-control-config-file={admission}"] if self.node_address else []),  # its pods run on this very machine
            "--allow-privileged",
            f"--client-ca-file={self.authority.certificate}",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={self.authority.service_account_key}",
            f"--service-account-signing-key-file={self.authority.service_account_key}",
            f"--kubelet-certificate-authority={self.authority.certificate}",
            f"--kubelet-client-certificate={kubelet_client.certificate}",
            f"--kubelet-client-key={kubelet_client.key}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self.audit_log}",
            f"--audit-log-maxsize={AUDIT_LOG_MEGABYTES}",
            "--audit-log-maxbackup=1",
            "--profiling=false",
        ]
        return processes.start(self.state, "kube-apiserver", [binaries.binary("kube-apiserver"), *flags])

    def _serving(self) -> KeyPair:
        names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost")
        hosts = [*names, "127.0.0.1", API_SERVER_ADDRESS, *([self.node_address] if self.node_address else [])]
        return self.authority.issue("kube-apiserver", name="kube-apiserver", hosts=hosts)

    def _controller_manager_flags(self) -> list[str]:
        return [
            "--use-service-account-credentials",  # one user a controller: the audit log tells them apart
            f"--service-account-private-key-file={self.authority.service_account_key}",
            f"--root-ca-file={self.authority.certificate}",
            "--horizontal-pod-autoscaler-sync-period=5s",  # 15 s otherwise, for clusters with more than a few autoscalers
        ]

    def _start_controller(self, name: str, *flags: str) -> bool:
        kubeconfig = self.write_kubeconfig(self.state / f"{name}.kubeconfig", user=f"system:{name}")
        always = [f"--kubeconfig={kubeconfig}", "--leader-elect=false", "--secure-port=0"]
        return processes.start(self.state, name, [binaries.binary(name), *always, *flags, *self.controller_flags])

    def _controllers_work(self) -> bool:
        """Say whether the controllers made what every namespace gets."""
        return self._get("/api/v1/namespaces/default/serviceaccounts/default") == http.client.OK

    def _get(self, path: str) -> int | None:
        """Return the API server's status for a path; None when it does not answer."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self._tls, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        pair = self.authority.issue(ADMIN, name=ADMIN, organizations=("system:masters",))
        context = ssl.create_default_context(cafile=self.authority.certificate)
        context.load_cert_chain(pair.certificate, pair.key)
        return context


@contextmanager
def control_plane(directory: Path, *, schedules: bool = False, controller_flags: tuple[str, ...] = ()) -> Iterator[ControlPlane]:
    """Run a control plane without a node, with empty data, until the block ends or the calling process dies in whatever way."""
    binaries.build([*binaries.CONTROL_PLANE, *(["kube-scheduler"] if schedules else [])])
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    processes.stop_all(directory, grace_seconds=0)
    shutil.rmtree(directory / "etcd", ignore_errors=True)
    with reserved_port() as port, processes.ended_with_caller(directory):
        plane = ControlPlane(directory, port, ephemeral=True, schedules=schedules, controller_flags=controller_flags)
        plane.start()
        yield plane
    shutil.rmtree(directory / "etcd", ignore_errors=True)  # tens of megabytes; the logs stay
