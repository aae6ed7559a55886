"""The pods behind a resource's Service, as its EndpointSlices show them. Pure, but for reading the cache."""

from collections.abc import Iterable

from chatbot_operator import names
from chatbot_operator.cache import Cache, ObjectKey, ResourceKey
from chatbot_operator.reports import Target
from chatbot_operator.resource import Manifest


def endpoint_slices(cache: Cache, key: ResourceKey, *, owner: str) -> tuple[Manifest, ...]:
    """Return the slices of the Service of the resource with the uid `owner`; none of another's Service of that name."""
    service = cache.entry(ObjectKey("Service", key.namespace, names.service(key.name)))
    if service is None or service.owner != owner:
        return ()
    return tuple(child.manifest() for child in cache.children(service.uid) if child.key.kind == "EndpointSlice")


def targets(slices: Iterable[Manifest]) -> tuple[Target, ...]:
    """Return the pods behind `slices`: unready ones too, terminating ones not; what has a name only is none.

    Each pod is there once, with the same address whichever of its slices (IPv4 and IPv6) comes first.
    """
    addresses: dict[str, str] = {}
    for piece in slices:
        if piece.get("addressType") == "FQDN":
            continue
        for endpoint in piece.get("endpoints") or ():
            uid = (endpoint.get("targetRef") or {}).get("uid")
            if uid and endpoint.get("addresses") and not (endpoint.get("conditions") or {}).get("terminating"):
                address = endpoint["addresses"][0]
                addresses[uid] = min(address, addresses.get(uid, address))
    return tuple(Target(uid, address) for uid, address in addresses.items())
