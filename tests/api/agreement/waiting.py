"""Whoever waits for a ChatbotDeployment, as programs of their own: `kubectl wait` and `helm install --wait`."""

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devcluster import binaries
from devcluster.controlplane import KubectlFailed
from tests.api.operator_process import Namespace

CHART = Path(__file__).parent / "chart"
PATIENT_SECONDS = 60
"""For what should be decided at once, on however slow a machine."""
IMPATIENT_SECONDS = 1
"""For what should not be decided at all."""


def holds(team: Namespace, name: str, condition: str) -> bool:
    """Tell whether `kubectl wait` is content with this resource now."""
    return name in content(team, condition)


def content(team: Namespace, condition: str) -> frozenset[str]:
    """Return the resources that `kubectl wait` is content with now; with no time to wait it looks once, at each."""
    names = team.kubectl("get", "chatbotdeployments", "--output=jsonpath={.items[*].metadata.name}").split()
    try:
        team.kubectl("wait", "chatbotdeployments", "--all", f"--for=condition={condition}", "--timeout=0")
    except KubectlFailed as error:
        unmet = re.findall(r"condition not met for \S+/(\S+)", str(error))
        if len(unmet) != len(str(error).splitlines()):
            raise
        return frozenset(names).difference(unmet)
    return frozenset(names)


@dataclass(frozen=True)
class Helm:
    """Helm with one namespace and a home of its own."""

    team: Namespace
    home: Path

    def command(self, name: str, *, spec: Mapping[str, Any], seconds: float) -> list[str]:
        """Return the command that applies a resource, whoever made it, and waits for it."""
        helm = [str(binaries.binary("helm")), f"--kubeconfig={self.team.plane.kubeconfig}", f"--namespace={self.team.name}"]
        values = [f"--set-json=spec={json.dumps(spec)}", "--take-ownership", "--wait", f"--timeout={seconds}s"]
        return [*helm, "upgrade", "--install", name, str(CHART), *values]

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment that keeps it out of the user's home."""
        return {"HOME": str(self.home), "PATH": "/usr/bin:/bin"}

    def waits(self, name: str, *, spec: Mapping[str, Any], seconds: float) -> str:
        """Return how it ended: `deployed`, `failed` at once, or `timeout`."""
        done = subprocess.run(
            self.command(name, spec=spec, seconds=seconds), env=self.environment, capture_output=True, text=True, check=False, timeout=120
        )
        return ended(done.returncode, done.stderr)


def ended(code: int, said: str) -> str:
    """Return how Helm ended, from its exit code and what it said."""
    if code == 0:
        return "deployed"
    if "context deadline exceeded" in said:
        return "timeout"
    assert "not ready. status: Failed" in said, said
    return "failed"
