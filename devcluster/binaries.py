"""Builds the devcluster's programs from their Go modules, once: `<cache>/<name>-<version>/<name>`, the digest of its recipe beside it.

Safe against interruption (a binary appears whole or not at all) and against a second builder (a lock each). Downloads through Go's own
module proxy settings only.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from devcluster import versions
from devcluster.errors import BinaryMissing
from devcluster.progress import say
from devcluster.state import cache_folder, lock

TOOLS = Path(__file__).parent / "tools"
STILL_BUILDING_SECONDS = 30.0
UNREACHABLE = re.compile(
    r"dial tcp|proxyconnect|no such host|connection re(fused|set)|i/o timeout|TLS handshake|x509:|network is unreachable|"
    r"module lookup disabled|(502|503|504) "
)


@dataclass(frozen=True)
class Binary:
    """A program: the tools module that pins it, its package there, what the linker writes into it, and its build tags."""

    name: str
    version: str
    module: str
    package: str
    stamps: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Where the built program is kept."""
        return cache_folder() / f"{self.name}-{self.version}" / self.name

    @property
    def is_current(self) -> bool:
        """Say whether the program is there and was built by today's recipe."""
        built = self.path.with_name("recipe")
        return self.path.exists() and built.exists() and built.read_text() == self.recipe()

    def recipe(self) -> str:
        """Return a digest of what decides the program at one version: its module's lock, our own sources, the compiler's flags."""
        module = TOOLS / self.module
        sources = [module / "go.mod", module / "go.sum", *sorted((module / self.package).glob("*.go"))]
        digest = hashlib.sha256("\n".join(self.command(Path("output"))).encode())
        for source in sources:
            digest.update(source.read_bytes())
        return digest.hexdigest()

    def command(self, output: Path) -> list[str]:
        """Return the `go build` that makes it, to run in the folder of its tools module."""
        stamps = "".join(f" -X {stamp}" for stamp in self.stamps)
        tags = [f"-tags={','.join(self.tags)}"] if self.tags else []
        return ["go", "build", "-mod=readonly", "-buildvcs=false", f"-ldflags=-s -w{stamps}", *tags, f"-o={output}", self.package]


def kubernetes(name: str) -> Binary:
    """Describe a program of Kubernetes, stamped with its version."""
    major, minor, _ = versions.KUBERNETES.split(".")
    stamped = {"gitVersion": f"v{versions.KUBERNETES}", "gitMajor": major, "gitMinor": minor}
    stamps = tuple(f"k8s.io/component-base/version.{variable}={value}" for variable, value in stamped.items())
    return Binary(name, versions.KUBERNETES, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", stamps)


def prometheus(name: str) -> Binary:
    """Describe a program of Prometheus, which discovers its targets in Kubernetes only: the other clouds' clients are most of its build."""
    package = f"github.com/prometheus/prometheus/cmd/{name}"
    stamps = (f"github.com/prometheus/common/version.Version={versions.PROMETHEUS}",)
    return Binary(name, versions.PROMETHEUS, "prometheus", package, stamps, tags=("remove_all_sd", "enable_kubernetes_sd"))


# In the order in which a cluster needs them.
BINARIES: Mapping[str, Binary] = {
    binary.name: binary
    for binary in (
        kubernetes("kube-apiserver"),
        kubernetes("kubectl"),
        kubernetes("kube-controller-manager"),
        Binary("etcd", versions.ETCD, "etcd", "go.etcd.io/etcd/server/v3"),
        kubernetes("kube-scheduler"),
        kubernetes("kubelet"),
        kubernetes("kube-proxy"),
        Binary("pause", versions.PAUSE, "extras", "./pause"),
        Binary("coredns", versions.COREDNS, "extras", "./coredns"),
        Binary(
            "helm", versions.HELM, "extras", "helm.sh/helm/v4/cmd/helm", (f"helm.sh/helm/v4/internal/version.version=v{versions.HELM}",)
        ),
        Binary("health", versions.HEALTH, "extras", "./health"),  # of one module with Helm: they read a status by the same library
        Binary("kwok", versions.KWOK, "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
        Binary("kubeconform", versions.KUBECONFORM, "kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform"),
        prometheus("promtool"),
        prometheus("prometheus"),
        Binary(
            "gitleaks",
            versions.GITLEAKS,
            "gitleaks",
            "github.com/zricethezav/gitleaks/v8",
            (f"github.com/zricethezav/gitleaks/v8/version.Version={versions.GITLEAKS}",),
        ),
    )
}
ON_DEMAND = ("promtool", "prometheus", "gitleaks")  # no part of a cluster: built for those who ask by name
ALWAYS = tuple(name for name in BINARIES if name not in ON_DEMAND)
CONTROL_PLANE = ("kube-apiserver", "kubectl", "kube-controller-manager", "etcd")


def binary(name: str) -> Path:
    """Return the path of a program, building it first when it is missing or out of date."""
    build([name])
    return BINARIES[name].path


def build(names: Iterable[str] = ALWAYS) -> None:
    """Build the programs that are missing or out of date, one after the other; raise BinaryMissing when one cannot be built."""
    wanted = list(names)
    if unknown := sorted(set(wanted) - BINARIES.keys()):
        raise BinaryMissing(f"unknown program {', '.join(unknown)}: one of {', '.join(BINARIES)}")
    todo = stale(wanted)
    if not todo:
        return
    require_go()
    for position, program in enumerate(todo, start=1):
        with lock(program.path.parent):
            if not program.is_current:  # else another builder made it while we waited
                compile_program(program, label=f"{program.name} {program.version} ({position} of {len(todo)})")


def stale(names: Iterable[str]) -> list[Binary]:
    """List the programs of these names that the cache lacks, or has from another recipe."""
    return [BINARIES[name] for name in names if not BINARIES[name].is_current]


def compile_program(program: Binary, *, label: str) -> None:
    """Compile one program beside its place and move it there once it is whole."""
    for interrupted in program.path.parent.glob(".building-*"):
        shutil.rmtree(interrupted)
    say(f"building {label} …")
    started, recipe = time.monotonic(), program.recipe()
    with tempfile.TemporaryDirectory(prefix=".building-", dir=program.path.parent) as folder:
        output, log = Path(folder) / program.name, Path(folder) / "log"
        environment = os.environ | {"CGO_ENABLED": "0", "GOWORK": "off"}
        with log.open("wb") as messages:
            process = subprocess.Popen(
                program.command(output), cwd=TOOLS / program.module, env=environment, stdout=messages, stderr=messages
            )
            wait_for_compiler(process, label=label)
        if process.returncode:
            raise BinaryMissing(explain_failure(label, log.read_text(errors="replace")))
        output.replace(program.path)
    program.path.with_name("recipe").write_text(recipe)
    say(f"built {label} in {time.monotonic() - started:.0f} s")


def wait_for_compiler(process: subprocess.Popen[bytes], *, label: str) -> None:
    """Wait for the compiler, saying now and then that it is still at work; end it when we are interrupted."""
    started = time.monotonic()
    try:
        while process.returncode is None:
            try:
                process.wait(timeout=STILL_BUILDING_SECONDS)
            except subprocess.TimeoutExpired:
                say(f"building {label}, {time.monotonic() - started:.0f} s so far …")
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def explain_failure(label: str, log: str) -> str:
    """Return one line that says why Go did not build a program, from what it printed."""
    lines = [line for line in log.splitlines() if line.strip() and not line.startswith("go: downloading")]
    if fetching := next((line for line in lines if UNREACHABLE.search(line)), None):
        return f"cannot build {label}: Go cannot fetch its modules, check the network and GOPROXY: {fetching.strip()}"
    return f"cannot build {label}: {' | '.join(line.strip() for line in lines[-3:]) or 'the compiler was killed (out of memory?)'}"


def require_go() -> None:
    """Raise BinaryMissing unless there is a Go that compiles the programs, or that fetches one that does."""
    remedy = f"install Go {versions.GO} or newer (or {versions.GO_FETCHING} with GOTOOLCHAIN=auto, which fetches it)"
    if shutil.which("go") is None:
        raise BinaryMissing(f"the devcluster's programs are built from source, but there is no go on PATH: {remedy}")
    answer = subprocess.run(["go", "env", "GOVERSION", "GOTOOLCHAIN"], check=True, capture_output=True, text=True, cwd="/").stdout
    version, _, toolchain = answer.strip().partition("\n")
    fetches = toolchain.strip() != "local" and at_least(version, versions.GO_FETCHING)
    if not at_least(version, versions.GO) and not fetches:
        raise BinaryMissing(f"{version or 'this go'} is too old for Kubernetes {versions.KUBERNETES}: {remedy}")


def at_least(version: str, wanted: str) -> bool:
    """Compare Go versions such as `go1.26.8` by major and minor number."""
    found = re.match(r"go(\d+)\.(\d+)", version)
    return found is not None and tuple(map(int, found.groups())) >= tuple(map(int, wanted.split(".")))
