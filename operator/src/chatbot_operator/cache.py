"""The last seen objects by kind, namespace and name, with an index by controlling owner.

An object never goes back to an older resourceVersion, whichever of a watch, a list or the answer to a write comes last. A
deletion leaves a mark and a list a date, so that a late answer cannot bring an object back. Nothing here talks to the API server.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from chatbot_operator.names import INSTANCE_LABEL
from chatbot_operator.resource import KIND, Manifest

MAX_TOMBSTONES = 4096


class ObjectKey(NamedTuple):
    """What tells one object from another; kinds are unique among those that the operator handles."""

    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, manifest: Manifest) -> "ObjectKey":
        """Return the key of `manifest`."""
        metadata = manifest["metadata"]
        return cls(manifest["kind"], metadata["namespace"], metadata["name"])


class ResourceKey(NamedTuple):
    """Which ChatbotDeployment: the key of the work queue."""

    namespace: str
    name: str


def resource_key(manifest: Manifest) -> ResourceKey | None:
    """Return the resource that `manifest` is or belongs to.

    What it does not own says so by a label: EndpointSlices, which carry those of their Service, and children that lost their owner.
    """
    metadata = manifest["metadata"]
    if manifest["kind"] == KIND:
        return ResourceKey(metadata["namespace"], metadata["name"])
    owner = controller_of(manifest)
    if owner and owner["kind"] == KIND:
        return ResourceKey(metadata["namespace"], owner["name"])
    name = metadata.get("labels", {}).get(INSTANCE_LABEL)
    return ResourceKey(metadata["namespace"], name) if name else None


def controller_of(manifest: Manifest) -> Manifest | None:
    """Return the owner reference of the object's controller."""
    for reference in manifest["metadata"].get("ownerReferences", ()):
        if reference.get("controller"):
            owner: Manifest = reference
            return owner
    return None


def resource_version(manifest: Manifest) -> int:
    """Return the version as a number; Kubernetes 1.35 made them comparable (KEP-5504), etcd-backed servers always were."""
    return int(manifest["metadata"]["resourceVersion"])


class Cache:
    """Objects as last seen, never older than seen before. What is handed out must not be changed."""

    def __init__(self) -> None:
        self._objects: dict[ObjectKey, Manifest] = {}
        self._owned: dict[str, dict[ObjectKey, None]] = {}
        self._tombstones: dict[ObjectKey, int] = {}
        self._listed_at: dict[tuple[str, str | None], int] = {}

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return the object, or None when it is not known to exist."""
        return self._objects.get(ObjectKey(kind, namespace, name))

    def all(self, kind: str) -> Iterator[Manifest]:
        """Return every known object of `kind`."""
        return (manifest for key, manifest in list(self._objects.items()) if key.kind == kind)

    def children(self, uid: str) -> tuple[Manifest, ...]:
        """Return the objects whose controller has `uid`."""
        return tuple(self._objects[key] for key in self._owned.get(uid, ()))

    def put(self, manifest: Manifest) -> bool:
        """Store `manifest`; return whether it is news, that is, newer than what was known."""
        key, version = ObjectKey.of(manifest), resource_version(manifest)
        known = self._objects.get(key)
        if version <= (resource_version(known) if known else self._gone_at(key)):
            return False
        self._tombstones.pop(key, None)
        self._drop(key)
        self._objects[key] = manifest
        if owner := controller_of(manifest):
            self._owned.setdefault(owner["uid"], {})[key] = None
        return True

    def forget(self, manifest: Manifest) -> bool:
        """Drop the object that was deleted at the resourceVersion of `manifest`; return whether it was known."""
        key, version = ObjectKey.of(manifest), resource_version(manifest)
        known = self._objects.get(key)
        if known and resource_version(known) > version:
            return False
        self._drop(key)
        self._tombstones[key] = max(version, self._tombstones.pop(key, 0))
        if len(self._tombstones) > MAX_TOMBSTONES:
            del self._tombstones[next(iter(self._tombstones))]
        return known is not None

    def replace(self, kind: str, manifests: Iterable[Manifest], *, listed_at: int, namespace: str | None = None) -> list[Manifest]:
        """Take a whole list of `kind` (of one namespace, or all), read at version `listed_at`; return what is news or gone."""
        listed = {ObjectKey.of(manifest): manifest for manifest in manifests}
        ghosts = [
            known
            for key, known in self._objects.items()
            if key.kind == kind and namespace in (None, key.namespace) and key not in listed and resource_version(known) <= listed_at
        ]
        for ghost in ghosts:
            self._drop(ObjectKey.of(ghost))
        news = [manifest for manifest in listed.values() if self.put(manifest)]
        self._listed_at[kind, namespace] = listed_at
        return ghosts + news

    def _gone_at(self, key: ObjectKey) -> int:
        """Return the version up to which an object that is not here is known not to exist."""
        listed_at = max(self._listed_at.get((key.kind, namespace), 0) for namespace in (None, key.namespace))
        return max(listed_at, self._tombstones.get(key, 0))

    def _drop(self, key: ObjectKey) -> None:
        known = self._objects.pop(key, None)
        owner = controller_of(known) if known else None
        if owner and (keys := self._owned.get(owner["uid"])) is not None:
            keys.pop(key, None)
            if not keys:
                del self._owned[owner["uid"]]
