"""The API server as its administrator sees it, in process: a request costs milliseconds, where kubectl takes a tenth of a second.

Reads what became of a resource, writes resources as their users do, and plays the node, of which there is none: it makes pods ready.
"""

import http.client
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from chatbot_operator import cluster, names
from chatbot_operator.desired import CHILD_KINDS, desired_state
from chatbot_operator.drift import differences
from chatbot_operator.resource import API_VERSION, KIND, ChatbotDeployment, Manifest
from chatbot_operator.settings import Settings
from devcluster.controlplane import ControlPlane
from tests.api import connections

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
OPTIONAL_KINDS = ("PodMonitor",)
"""Children of kinds that are not served here."""
KINDS = (*CHILD_KINDS, "Secret")
"""Of all that a resource can own; the Secret is made once, and stays as long as the resource."""
_VARYING = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "ownerReferences")


class Refused(Exception):
    """The API server said no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status


@dataclass(frozen=True)
class Team:
    """A namespace of the API server."""

    plane: ControlPlane
    namespace: str

    def call(self, method: str, path: str, body: Manifest | None = None, *, content_type: str = "application/json") -> Manifest:
        """Send one request as administrator; raise Refused unless it is granted."""
        text = json.dumps(body) if body is not None else None
        request = connections.Request(method, path, text, {"Content-Type": content_type})
        status, content = connections.send(self.plane, request)
        if status >= 300:
            raise Refused(status, content.decode())
        answer: Manifest = json.loads(content)
        return answer

    def get(self, kind: str, name: str) -> Manifest | None:
        """Return an object, or None."""
        try:
            return self.call("GET", self.path(kind, name))
        except Refused as refused:
            if refused.status == http.client.NOT_FOUND:
                return None
            raise

    def select(self, kind: str, selector: str = names.OWNED_SELECTOR) -> list[Manifest]:
        """Return the objects that `selector` selects."""
        try:
            items: list[Manifest] = self.call("GET", f"{self.path(kind)}?labelSelector={quote(selector)}")["items"]
        except Refused as refused:
            if refused.status == http.client.NOT_FOUND and kind in OPTIONAL_KINDS:
                return []
            raise
        return [{**item, "apiVersion": cluster._API_VERSIONS[kind][0], "kind": kind} for item in items]  # lists leave them out

    def create(self, name: str, spec: Manifest) -> Manifest:
        """Create a ChatbotDeployment as `kubectl create` does; an apply would have to be YAML, which knows fewer characters."""
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}
        return self.call("POST", f"{self.path(KIND)}?fieldValidation=Strict", body)

    def apply(self, name: str, spec: Manifest) -> Manifest:
        """Create or change a ChatbotDeployment to have exactly `spec`."""
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}
        return self.call("PATCH", f"{self.path(KIND, name)}?fieldManager=user&force=true", body, content_type=APPLY)

    def scale(self, name: str, replicas: int) -> None:
        """Do as `kubectl scale` does."""
        self.call("PATCH", f"{self.path(KIND, name)}/scale", {"spec": {"replicas": replicas}}, content_type=MERGE)

    def merge(self, kind: str, name: str, patch: Manifest) -> None:
        """Change an object as somebody else."""
        self.call("PATCH", self.path(kind, name), patch, content_type=MERGE)

    def delete(self, kind: str, name: str) -> None:
        """Delete an object that may be gone already."""
        try:
            self.call("DELETE", self.path(kind, name))
        except Refused as refused:
            if refused.status != http.client.NOT_FOUND:
                raise

    def path(self, kind: str, name: str | None = None) -> str:
        """Return the URL's path of an object or of its kind."""
        return cluster._path(kind, self.namespace, name)

    def make_pods_ready(self, name: str) -> None:
        """Report every pod of a resource as running and ready, without an address: nobody can poll it."""
        for pod in self.select("Pod", names.selector(name)):
            conditions = pod.get("status", {}).get("conditions", ())
            if "deletionTimestamp" in pod["metadata"] or any(each["type"] == "Ready" for each in conditions):
                continue
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
            status = {"status": {"phase": "Running", "conditions": [ready]}}
            try:
                self.call("PATCH", f"{self.path('Pod', pod['metadata']['name'])}/status", status, content_type=MERGE)
            except Refused as refused:
                if refused.status not in (http.client.NOT_FOUND, http.client.CONFLICT):
                    raise

    def look(self, name: str) -> Manifest | None:
        """Return a resource, whose pods have just been made ready."""
        self.make_pods_ready(name)
        return self.get(KIND, name)

    def children(self) -> dict[str, list[Manifest]]:
        """Return all that is owned in the namespace by the uid of its owner; what has no owner is under an empty one."""
        found: dict[str, list[Manifest]] = {}
        for kind in KINDS:
            for child in self.select(kind):
                owners = child["metadata"].get("ownerReferences") or ({"uid": ""},)
                found.setdefault(owners[0]["uid"], []).append(child)
        return found

    def children_of(self, name: str) -> list[Manifest]:
        """Return all that one resource owns."""
        return [child for kind in KINDS for child in self.select(kind, names.selector(name))]

    def end_state(self, name: str) -> Manifest:
        """Return a resource's status and children, without what differs from one run to the next and means nothing."""
        resource = self.get(KIND, name) or {}
        children = {kind: [_essence(child) for child in self.select(kind, names.selector(name))] for kind in CHILD_KINDS}
        tokens = [secret["metadata"]["name"] for secret in self.select("Secret", names.selector(name))]
        found = {"status": _essential_status(resource.get("status") or {}), "children": children, "tokens": tokens}
        text = json.dumps(found).replace(name, "NAME").replace(self.namespace, "NAMESPACE")
        normalised: Manifest = json.loads(text)
        return normalised


def is_settled(resource: Manifest | None) -> bool:
    """Tell whether the resource says that its newest generation is rolled out."""
    if resource is None:
        return False
    status, generation = resource.get("status") or {}, resource["metadata"]["generation"]
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ())
    return ready and status["observedGeneration"] == generation


def is_observed(resource: Manifest | None) -> bool:
    """Tell whether the status speaks of the newest generation."""
    return resource is not None and (resource.get("status") or {}).get("observedGeneration") == resource["metadata"]["generation"]


def deviations(resource: Manifest, children: Iterable[Manifest], *, settings: Settings) -> list[str]:
    """Return how the children differ from what the resource wants: what is lost, what differs, what is too much."""
    parsed = ChatbotDeployment.from_manifest(resource)
    live = {(child["kind"], child["metadata"]["name"]): child for child in children}
    found = []
    for intended in desired_state(parsed, settings, _replicas(parsed, live)):
        if intended["kind"] in OPTIONAL_KINDS:
            continue
        key = (intended["kind"], intended["metadata"]["name"])
        found += [f"{' '.join(key)}: {reason}" for reason in differences(intended, live.pop(key, None))]
    secret = live.pop(("Secret", names.client_token_secret(parsed.name)), None)
    if parsed.spec.client_auth.is_generated and secret is None:
        found.append("the Secret with the client's token: missing")
    return found + [f"{kind} {name} should not be there" for kind, name in live]


def _replicas(resource: ChatbotDeployment, live: Mapping[tuple[str, str], Manifest]) -> int:
    """Return how many pods there should be; how many an autoscaler wants is its own business."""
    deployment = live.get(("Deployment", names.deployment(resource.name)))
    return deployment["spec"]["replicas"] if resource.spec.autoscaling.enabled and deployment else resource.spec.replicas


def _essence(child: Manifest) -> Manifest:
    metadata = {key: value for key, value in child["metadata"].items() if key not in _VARYING}
    metadata["annotations"] = {key: value for key, value in metadata["annotations"].items() if key != names.INTENT_ANNOTATION}
    fields = child["metadata"]["managedFields"]
    metadata["ours"] = sorted({f"{each['operation']}" for each in fields if each["manager"] == names.FIELD_MANAGER})
    rest = {key: value for key, value in child.items() if key not in ("metadata", "status", "spec")}
    return {"metadata": metadata, **rest, "spec": _without_addresses(child.get("spec") or {})}


def _without_addresses(spec: Manifest) -> Manifest:
    kept: Manifest = {key: value for key, value in spec.items() if key not in ("clusterIP", "clusterIPs")}
    return kept


def _essential_status(status: Manifest) -> Manifest:
    conditions: list[dict[str, Any]] = [{**each, "lastTransitionTime": ""} for each in status.get("conditions") or ()]
    return {**status, "conditions": sorted(conditions, key=lambda each: str(each["type"]))}
