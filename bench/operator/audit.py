"""The API server's audit log as values: who asked for what, and when it was answered, by the API server's own clock."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Self

from bench.operator.figures import Verb

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True)
class Request:
    """An answered request. Times are seconds since the epoch."""

    user: str
    verb: str
    resource: str
    subresource: str
    name: str
    code: int
    begun: float
    ended: float

    @classmethod
    def parse(cls, event: dict[str, Any]) -> Self:
        """Return the request of an audit event."""
        reference = event.get("objectRef") or {}
        return cls(
            user=event["user"]["username"],
            verb=event["verb"],
            resource=reference.get("resource", ""),
            subresource=reference.get("subresource", ""),
            name=reference.get("name", ""),
            code=event["responseStatus"]["code"],
            begun=_seconds(event["requestReceivedTimestamp"]),
            ended=_seconds(event["stageTimestamp"]),
        )

    @property
    def is_write(self) -> bool:
        """Tell whether it could change something; a renewed Lease does not count."""
        return self.verb in WRITES and self.resource != "leases"

    @property
    def purpose(self) -> Verb | None:
        """Return what it is for; None for what keeps an idle operator alive: Leases and watches."""
        if self.resource == "leases" or self.verb == "watch":
            return None
        if self.resource == "events":
            return Verb.EVENT
        if self.subresource == "status":
            return Verb.STATUS
        return {"patch": Verb.APPLY, "get": Verb.READ, "list": Verb.READ, "delete": Verb.DELETE}.get(self.verb, Verb.OTHER)


class AuditLog:
    """The log as it grows; the API server begins a new file now and then."""

    def __init__(self, path: Path, *, users: Collection[str]) -> None:
        self._path = path
        self._users = [f'"username":"{user}"'.encode() for user in users]
        self._file: BinaryIO = path.open("rb")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self) -> list[Request]:
        """Return what was answered since the last time, in the order in which it was answered."""
        return [Request.parse(event) for event in map(json.loads, self._lines()) if event["stage"] == "ResponseComplete"]

    def _lines(self) -> Iterator[bytes]:
        while True:
            for line in self._whole():
                if any(user in line for user in self._users):
                    yield line
            if self._path.stat().st_ino == _inode(self._file):
                return
            yield from (line for line in self._whole() if any(user in line for user in self._users))
            self._file.close()
            self._file = self._path.open("rb")

    def _whole(self) -> Iterator[bytes]:
        """Yield the lines that are whole by now."""
        while line := self._file.readline():
            if not line.endswith(b"\n"):
                self._file.seek(-len(line), 1)
                return
            yield line


def _inode(file: BinaryIO) -> int:
    return Path(f"/proc/self/fd/{file.fileno()}").stat().st_ino


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
