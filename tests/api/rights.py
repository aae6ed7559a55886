"""What the chart's roles grant, and what the operators of a session used of it, by the API server's audit log."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import yaml

from chatbot_operator.resource import Manifest
from devcluster import binaries
from devcluster.controlplane import ControlPlane
from tests.api.operator_process import CHART

OPERATORS = re.compile(r"system:serviceaccount:[^:]+:chatbot-operator-[0-9a-f]{6}$")
"""The users that `grant` makes: each has the chart's roles and nothing else."""

Right = tuple[str, str, str]
"""API group, resource[/subresource], verb."""


@dataclass(frozen=True)
class Log:
    """What operators of this session asked of the API server."""

    events: list[Manifest]

    @classmethod
    def of(cls, plane: ControlPlane, user: str = "") -> Self:
        """Read the audit log, what was rotated too: of one operator, or of them all."""
        lines = (line for log in plane.state.glob("audit*.log") for line in log.read_text().splitlines())
        events = map(json.loads, (line for line in lines if (user or ":chatbot-operator-") in line and '"objectRef"' in line))
        return cls([event for event in events if OPERATORS.match(found := event["user"]["username"]) and user in ("", found)])

    def used(self) -> set[Right]:
        """Return the rights that were needed and there."""
        return {right for event in self.events if not _is_forbidden(event) for right in rights_of(event)}

    def forbidden(self) -> list[str]:
        """Return the requests for which a right was missing."""
        return [f"{event['user']['username']}: {event['verb']} {event['requestURI']}" for event in self.events if _is_forbidden(event)]


def _is_forbidden(event: Manifest) -> bool:
    return bool((event.get("annotations") or {}).get("authorization.k8s.io/decision") == "forbid")


def rights_of(event: Manifest) -> Iterator[Right]:
    """Yield what the request needed: an apply that creates must be allowed to patch and to create."""
    reference = event["objectRef"]
    group, resource = reference.get("apiGroup", ""), "/".join(filter(None, (reference["resource"], reference.get("subresource"))))
    yield group, resource, event["verb"]
    if event["verb"] == "patch" and (event.get("responseStatus") or {}).get("code") == 201:
        yield group, resource, "create"


def granted() -> set[Right]:
    """Return what the chart's roles say."""
    command = [str(binaries.binary("helm")), "template", "chatbot-operator", str(CHART), "--show-only=templates/rbac.yaml"]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return {
        (group, resource, verb)
        for manifest in yaml.safe_load_all(rendered)
        for rule in manifest.get("rules", ())
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def misused_rights(plane: ControlPlane) -> list[str]:
    """Return what operators asked for without a right to it, or were allowed though the chart does not grant it."""
    log = Log.of(plane)
    return log.forbidden() + [f"{right} is not granted" for right in sorted(log.used() - granted())]
