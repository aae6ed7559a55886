"""The benchmark's own access to the API server: requests one after the other, and a watch that knows who is Ready."""

import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from devcluster.controlplane import ControlPlane

USER = "bench-user"
JSON = "application/json"
MERGE = "application/merge-patch+json"


class Refused(Exception):
    """The API server did not do what it was asked for."""


class Api:
    """One connection, kept open."""

    def __init__(self, plane: ControlPlane) -> None:
        pair = plane.authority.issue(USER, name=USER, organizations=("system:masters",))
        tls = ssl.create_default_context(cafile=plane.authority.certificate)
        tls.load_cert_chain(pair.certificate, pair.key)
        self._connection = http.client.HTTPSConnection("127.0.0.1", plane.port, context=tls, timeout=60)

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, content_type: str = JSON) -> dict[str, Any]:
        """Return the answer; raises Refused."""
        content = json.dumps(body) if body is not None else None
        self._connection.request(method, path, content, {"Content-Type": content_type, "Accept": JSON})
        response = self._connection.getresponse()
        said = response.read()
        if response.status >= http.client.MULTIPLE_CHOICES:
            raise Refused(f"{method} {path}: {response.status} {said.decode(errors='replace')}")
        answer: dict[str, Any] = json.loads(said)
        return answer

    def stream(self, path: str) -> http.client.HTTPResponse:
        """Return an answer that goes on; raises Refused."""
        self._connection.request("GET", path, headers={"Accept": JSON})
        response = self._connection.getresponse()
        if response.status != http.client.OK:
            raise Refused(f"GET {path}: {response.status} {response.read().decode(errors='replace')}")
        return response

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Readiness:
    """Which resources say of their newest generation that they are Ready, and since when."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ready: dict[str, tuple[int, float]] = {}

    def see(self, event: Mapping[str, Any]) -> None:
        """Take an event of a watch."""
        resource = event["object"]
        metadata = resource["metadata"]
        name, generation = metadata["name"], metadata["generation"]
        with self._changed:
            if event["type"] == "DELETED" or not _is_ready(resource):
                self._ready.pop(name, None)
            elif self._ready.get(name, (None, 0.0))[0] != generation:
                self._ready[name] = generation, time.monotonic()
            self._changed.notify_all()

    def wait_for(self, count: int, *, seconds: float) -> None:
        """Wait until at least `count` resources are Ready; raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._ready) >= count, timeout=seconds):
                raise TimeoutError(f"{len(self._ready)} resources were Ready after {seconds:.0f} s, {count} were awaited")

    def wait(self, generations: Mapping[str, int], *, seconds: float) -> dict[str, float]:
        """Return since when each is Ready at its generation or a newer one, on the monotonic clock; raises TimeoutError."""
        end = time.monotonic() + seconds
        with self._changed:
            while len(found := self._reached(generations)) < len(generations):
                if time.monotonic() > end:
                    raise TimeoutError(f"{len(found)} of {len(generations)} resources were Ready after {seconds:.0f} s")
                self._changed.wait(0.2)
        return found

    def _reached(self, generations: Mapping[str, int]) -> dict[str, float]:
        seen = {name: self._ready.get(name, (0, 0.0)) for name in generations}
        return {name: since for name, (generation, since) in seen.items() if generation >= generations[name]}


@contextmanager
def readiness(plane: ControlPlane, path: str) -> Iterator[Readiness]:
    """Watch the resources at `path` until the block ends."""
    found, api = Readiness(), Api(plane)
    response = api.stream(f"{path}?watch=true&resourceVersion=0&timeoutSeconds=7200")

    def follow() -> None:
        try:
            while line := response.readline():
                found.see(json.loads(line))
        except (OSError, ValueError, http.client.HTTPException):
            return  # the block has ended, or the API server: the wait for readiness says so

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    yield found


def _is_ready(resource: Mapping[str, Any]) -> bool:
    status = resource.get("status") or {}
    if status.get("observedGeneration") != resource["metadata"]["generation"]:
        return False
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in status.get("conditions") or ())
