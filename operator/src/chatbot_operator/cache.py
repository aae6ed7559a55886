"""The last seen objects by kind, namespace and name, with an index by controlling owner.

An object never goes back to an older resourceVersion, whichever of a watch, a list or the answer to a write comes last. A
deletion leaves a mark and a list a date, so that a late answer cannot bring an object back; a list of that date or a later one
can, since it shows what there is. Objects are kept as JSON, a tenth of the memory of dicts, and decoded when asked for; what a
pass over unchanged objects needs is kept beside. Nothing here talks to the API server.
"""

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Final, NamedTuple

import orjson

from chatbot_operator.names import INSTANCE_LABEL, REVISION_ANNOTATION
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

    @classmethod
    def of(cls, manifest: Manifest) -> "ResourceKey":
        """Return the key of the ChatbotDeployment `manifest`."""
        return cls(manifest["metadata"]["namespace"], manifest["metadata"]["name"])


class News(IntEnum):
    """What is new about an object that was seen."""

    NOTHING = 0
    STATUS = 1
    INTENT = 2
    """Anything but the status: a new object, another spec, other labels."""
    GONE = 3


class Entry(NamedTuple):
    """An object as the cache keeps it."""

    key: ObjectKey
    version: int
    uid: str
    owner: str | None
    """The uid of the controller."""
    resource: ResourceKey | None
    """The ChatbotDeployment that the object is or belongs to."""
    intent: int
    """Differs when anything but the status does."""
    body: bytes

    @classmethod
    def of(cls, manifest: Manifest) -> "Entry":
        """Return `manifest` as the cache keeps it."""
        owner, metadata = controller_of(manifest), manifest["metadata"]
        return cls(
            key=ObjectKey.of(manifest),
            version=resource_version(manifest),
            uid=metadata.get("uid", ""),
            owner=owner["uid"] if owner else None,
            resource=resource_key(manifest),
            intent=_intent(metadata),
            body=bytes(memoryview(orjson.dumps(manifest))),  # a copy: what orjson returns keeps the room that it grew into
        )

    def manifest(self) -> Manifest:
        """Return the object, as one that the caller may change."""
        decoded: Manifest = orjson.loads(self.body)
        return decoded


_INTENT_METADATA: Final = ("labels", "ownerReferences", "deletionTimestamp", "finalizers")


def _intent(metadata: Manifest) -> int:
    """Return a hash of the metadata that people and controllers set, but for the count of rollouts, which is as good as status.

    The generation stands for the spec where the API keeps one.
    """
    spec = metadata.get("generation") or metadata["resourceVersion"]
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != REVISION_ANNOTATION}
    return hash((spec, orjson.dumps([annotations, *(metadata.get(name) for name in _INTENT_METADATA)])))


def resource_key(manifest: Manifest) -> ResourceKey | None:
    """Return the resource that `manifest` is or belongs to.

    What it does not own says so by a label: EndpointSlices, which carry those of their Service, and children that lost their owner.
    """
    metadata = manifest["metadata"]
    if manifest["kind"] == KIND:
        return ResourceKey.of(manifest)
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
    """Objects as last seen, never older than seen before."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[ObjectKey, Entry]] = {}
        self._owned: dict[str, dict[ObjectKey, None]] = {}
        self._tombstones: dict[ObjectKey, int] = {}
        self._listed_at: dict[tuple[str, str | None], int] = {}

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return the object, or None when it is not known to exist."""
        entry = self.entry(ObjectKey(kind, namespace, name))
        return entry.manifest() if entry else None

    def entry(self, key: ObjectKey) -> Entry | None:
        """Return the object without decoding it, or None when it is not known to exist."""
        return self._entries.get(key.kind, {}).get(key)

    def entries(self, kind: str) -> tuple[Entry, ...]:
        """Return every known object of `kind` without decoding it."""
        return tuple(self._entries.get(kind, {}).values())

    def all(self, kind: str) -> Iterator[Manifest]:
        """Return every known object of `kind`."""
        return (entry.manifest() for entry in self.entries(kind))

    def children(self, uid: str) -> tuple[Entry, ...]:
        """Return the objects whose controller has `uid`."""
        return tuple(self._entries[key.kind][key] for key in self._owned.get(uid, ()))

    def put(self, manifest: Manifest) -> News:
        """Store `manifest`; return whether it is news, that is, newer than what was known."""
        key, version = ObjectKey.of(manifest), resource_version(manifest)
        return News.NOTHING if version <= self._newest(key) else self.take(Entry.of(manifest))

    def take(self, entry: Entry) -> News:
        """Store `entry` as `put` does."""
        return News.NOTHING if entry.version <= self._newest(entry.key) else self._store(entry)

    def _store(self, entry: Entry) -> News:
        known = self.entry(entry.key)
        self._tombstones.pop(entry.key, None)
        self._drop(entry.key)
        self._entries.setdefault(entry.key.kind, {})[entry.key] = entry
        if entry.owner:
            self._owned.setdefault(entry.owner, {})[entry.key] = None
        same = known is not None and (known.uid, known.intent) == (entry.uid, entry.intent)
        return News.STATUS if same else News.INTENT

    def forget(self, manifest: Manifest) -> News:
        """Drop the object that was deleted at the resourceVersion of `manifest`; return whether it was known."""
        key, version = ObjectKey.of(manifest), resource_version(manifest)
        known = self.entry(key)
        if known and known.version > version:
            return News.NOTHING
        self._drop(key)
        self._tombstones[key] = max(version, self._tombstones.pop(key, 0))
        if len(self._tombstones) > MAX_TOMBSTONES:
            del self._tombstones[next(iter(self._tombstones))]
        return News.GONE if known else News.NOTHING

    def replace(self, kind: str, listed: Iterable[Entry], *, listed_at: int, namespace: str | None = None) -> list[Entry]:
        """Take a whole list of `kind` (of one namespace, or all), read at version `listed_at`; return what is news or gone."""
        entries = {entry.key: entry for entry in listed}
        ghosts = [
            known
            for key, known in self._entries.get(kind, {}).items()
            if namespace in (None, key.namespace) and key not in entries and known.version <= listed_at
        ]
        for ghost in ghosts:
            self._drop(ghost.key)
        news = [entry for entry in entries.values() if self._is_shown(entry, listed_at)]
        for entry in news:
            self._store(entry)
        self._listed_at[kind, namespace] = max(listed_at, self._listed_at.get((kind, namespace), 0))
        return ghosts + news

    def _is_shown(self, entry: Entry, listed_at: int) -> bool:
        """Tell whether a list read at `listed_at` tells news by `entry`: it is newer, or back since what was last heard."""
        known = self.entry(entry.key)
        return entry.version > known.version if known else listed_at >= self._gone_at(entry.key)

    def _newest(self, key: ObjectKey) -> int:
        """Return the version of the newest that was heard of an object: that it exists, or that it does not."""
        known = self.entry(key)
        return known.version if known else self._gone_at(key)

    def _gone_at(self, key: ObjectKey) -> int:
        """Return the version up to which an object that is not here is known not to exist."""
        listed_at = max(self._listed_at.get((key.kind, namespace), 0) for namespace in (None, key.namespace))
        return max(listed_at, self._tombstones.get(key, 0))

    def _drop(self, key: ObjectKey) -> None:
        known = self._entries.get(key.kind, {}).pop(key, None)
        if known and known.owner and (keys := self._owned.get(known.owner)) is not None:
            keys.pop(key, None)
            if not keys:
                del self._owned[known.owner]
