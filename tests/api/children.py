"""What every resource's children are called, and looks at them."""

from typing import Any

from tests.api.operator_process import Namespace
from tests.waiting import wait_until

CHILDREN = ("serviceaccount", "service", "networkpolicy", "deployment", "poddisruptionbudget")


def wait_for_children(team: Namespace, name: str) -> None:
    """Wait until the last child is there; the status of a rollout comes later."""
    wait_until(lambda: team.get("poddisruptionbudget", name))


def uid(manifest: dict[str, Any] | None) -> str | None:
    return manifest["metadata"]["uid"] if manifest else None
