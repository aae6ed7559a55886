"""The pods behind a resource's Service, as its EndpointSlices show them. Pure, but for reading the cache."""

from collections.abc import Iterable

from chatbot_operator import names
from chatbot_operator.cache import Cache, ObjectKey, ResourceKey
from chatbot_operator.reports import Target
from chatbot_operator.resource import Manifest


def endpoint_slices(cache: Cache, key: ResourceKey) -> tuple[Manifest, ...]:
    """Return the slices of the Service of the resource."""
    service = cache.entry(ObjectKey("Service", key.namespace, names.service(key.name)))
    if service is None:
        return ()
    return tuple(child.manifest() for child in cache.children(service.uid) if child.key.kind == "EndpointSlice")


def targets(endpoint_slices: Iterable[Manifest]) -> tuple[Target, ...]:
    """Return the pods behind `endpoint_slices`: unready ones too, terminating ones not, each pod once; what has a name only is none."""
    found: dict[str, Target] = {}
    for endpoint_slice in endpoint_slices:
        if endpoint_slice.get("addressType") == "FQDN":
            continue
        for endpoint in endpoint_slice.get("endpoints") or ():
            uid = (endpoint.get("targetRef") or {}).get("uid")
            if uid and endpoint.get("addresses") and not (endpoint.get("conditions") or {}).get("terminating"):
                found.setdefault(uid, Target(uid, endpoint["addresses"][0]))
    return tuple(found.values())
