"""Who wrote what, and when, from the audit log of the API server. Leases are left out."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from devcluster.controlplane import ControlPlane

_READS = ("get", "list", "watch")


@dataclass(frozen=True)
class Write:
    """A request that could have changed something."""

    user: str
    began: datetime
    ended: datetime
    verb: str
    resource: str
    name: str
    status: int


def writes(plane: ControlPlane, *users: str) -> list[Write]:
    """Return the finished writes of these users in the order in which they began."""
    return sorted(_writes(plane, users), key=lambda write: write.began)


def _writes(plane: ControlPlane, users: tuple[str, ...]) -> Iterator[Write]:
    for log in sorted(plane.state.glob(f"{plane.audit_log.stem}*.log")):  # those that were rotated too
        for line in log.read_text().splitlines():
            if '"stage":"ResponseComplete"' not in line or not any(user in line for user in users):
                continue
            event = json.loads(line)
            reference = event.get("objectRef") or {}
            if event["user"]["username"] in users and event["verb"] not in _READS and reference.get("resource") != "leases":
                yield Write(
                    user=event["user"]["username"],
                    began=datetime.fromisoformat(event["requestReceivedTimestamp"]),
                    ended=datetime.fromisoformat(event["stageTimestamp"]),
                    verb=event["verb"],
                    resource="/".join(filter(None, (reference.get("resource"), reference.get("subresource")))),
                    name=reference.get("name", ""),
                    status=event["responseStatus"]["code"],
                )
