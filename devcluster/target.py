"""Which cluster the verbs work on, and how images get there.

KUBECONFIG or CONTEXT names an existing cluster, unless it is the devcluster's own kubeconfig; else it is the devcluster. Images reach a
`kind-*` context by `kind load`, any other existing cluster through IMAGE_REGISTRY, and the devcluster straight from their archives. The
choice and the commands are values: nothing runs before `load_images` or `answers`.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from devcluster.archive import read_images
from devcluster.binaries import binary
from devcluster.certificates import CONTEXT
from devcluster.errors import DevclusterError
from devcluster.state import state_folder

Builder = Literal["docker", "buildah"]
Command = tuple[str, ...]
ANSWER_SECONDS = 10


class TargetUnusable(DevclusterError):
    """The environment names a cluster that cannot be told, or that images cannot reach."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A cluster: KUBECONFIG's value (may be a list), the context (None: the current one), and how images reach it."""

    kubeconfig: str
    context: str | None = None
    delivery: Literal["devcluster", "kind", "registry"]
    registry: str = ""

    @property
    def is_devcluster(self) -> bool:
        """Say whether it is ours to start and to remove."""
        return self.delivery == "devcluster"

    @property
    def image_prefix(self) -> str:
        """What stands before a local image's name in this cluster's pods."""
        return f"{self.registry}/" if self.delivery == "registry" else ""

    def answers(self) -> bool:
        """Say whether the cluster's API server is ready."""
        if self.is_devcluster and not Path(self.kubeconfig).exists():
            return False
        context = (f"--context={self.context}",) if self.context else ()
        environment = {**os.environ, "KUBECONFIG": self.kubeconfig}
        question = [binary("kubectl"), *context, f"--request-timeout={ANSWER_SECONDS}s", "get", "--raw=/readyz"]
        return subprocess.run(question, env=environment, capture_output=True, check=False).returncode == 0

    def load_images(self, archives: Sequence[Path]) -> None:
        """Bring image archives to the cluster. Raises TargetUnusable."""
        builder = _find_builder() if self.delivery == "registry" else "buildah"
        for command in load_commands(self, [(archive, references(archive)) for archive in archives], builder=builder):
            _run(command)


def choose(environment: Mapping[str, str]) -> Target:
    """Return the cluster that the environment names. Raises TargetUnusable."""
    own_kubeconfig = state_folder(environment) / "kubeconfig"
    kubeconfig, context = environment.get("KUBECONFIG", ""), environment.get("CONTEXT", "")
    own = bool(kubeconfig) and Path(kubeconfig).expanduser().resolve() == own_kubeconfig.resolve()
    if not context and (own or not kubeconfig):
        return Target(kubeconfig=str(own_kubeconfig), delivery="devcluster")
    kubeconfig = kubeconfig or str(Path(environment.get("HOME", "~")).expanduser() / ".kube" / "config")
    current = read_current_context(kubeconfig)
    if own and context in (CONTEXT, current):
        return Target(kubeconfig=str(own_kubeconfig), delivery="devcluster")
    if own:
        raise TargetUnusable(f"KUBECONFIG is the devcluster's, which has no context {context!r}: unset CONTEXT")
    context = context or current or ""
    if not context:
        raise TargetUnusable(f"{kubeconfig} names no current context: set CONTEXT, or unset KUBECONFIG to use the devcluster")
    if context.startswith("kind-"):
        return Target(kubeconfig=kubeconfig, context=context, delivery="kind")
    registry = re.sub(r"^https?://", "", environment.get("IMAGE_REGISTRY", "")).rstrip("/")
    if not registry:
        raise TargetUnusable(
            f"images cannot reach the cluster of context {context!r}: set IMAGE_REGISTRY to a registry that it pulls from, "
            "or unset KUBECONFIG and CONTEXT to use the devcluster"
        )
    return Target(kubeconfig=kubeconfig, context=context, delivery="registry", registry=registry)


def load_commands(target: Target, archives: Sequence[tuple[Path, Sequence[str]]], *, builder: Builder) -> tuple[Command, ...]:
    """Return the commands that bring archives, each with the references in it, to the target."""
    match target.delivery:
        case "devcluster":
            return ((sys.executable, "-m", "devcluster", "load", *(str(archive) for archive, _ in archives)),)
        case "kind":
            name = (target.context or "").removeprefix("kind-")
            return tuple(("kind", "load", "image-archive", str(archive), "--name", name) for archive, _ in archives)
        case "registry":
            return tuple(command for archive, names in archives for command in _push_commands(target, archive, names, builder))


def references(archive: Path) -> tuple[str, ...]:
    """Return the names that the images of an archive are tagged with."""
    return tuple(reference for image in read_images(archive) for reference in image.references)


def read_current_context(kubeconfig: str) -> str | None:
    """Return the current context that kubectl would use: the first one set in a colon-separated list of files."""
    for path in (Path(name).expanduser() for name in kubeconfig.split(":") if name):
        if path.is_file():
            found = re.search(
                r"""^[ \t]*"?current-context"?:[ \t]*["']?([^"'\s,]+)["']?,?[ \t]*$""", path.read_text(encoding="utf-8"), flags=re.MULTILINE
            )
            if found:
                return found[1]
    return None


def _push_commands(target: Target, archive: Path, names: Sequence[str], builder: Builder) -> Iterator[Command]:
    yield ("docker", "load", "--input", str(archive)) if builder == "docker" else ("buildah", "pull", f"docker-archive:{archive}")
    for name in names:
        remote = target.image_prefix + re.sub(r"^(localhost|docker\.io(/library)?)/", "", name)
        if builder == "docker":
            yield ("docker", "tag", name, remote)
            yield ("docker", "push", remote)
        else:
            yield ("buildah", "push", name, f"docker://{remote}")


def _find_builder() -> Builder:
    """Return docker if its daemon answers, else buildah."""
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0:
        return "docker"
    return "buildah"


def _run(command: Command) -> None:
    if shutil.which(command[0]) is None:
        raise TargetUnusable(f"{command[0]} is needed to bring images to the cluster: install it")
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise TargetUnusable(f"'{' '.join(command)}' failed: {(finished.stderr or finished.stdout).strip()}")
