"""What differs between an intended child and the live one, and why: our fields only, compared as the API server understands them.

Fields that the intent does not render belong to others (defaults, controllers, people) and never count, except within what one
writer owns as a whole. A field that used to be rendered and no longer is shows by the intent-hash annotation alone.
"""

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from chatbot_operator import names
from chatbot_operator.resource import Manifest

_MERGE_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "containers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "imagePullSecrets": ("name",),
    "volumeMounts": ("mountPath",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "ownerReferences": ("uid",),
}
_PORT_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "spec.ports": ("port", "protocol"),
    "spec.template.spec.containers[chatbot].ports": ("containerPort", "protocol"),
}
"""Lists that the API merges by key; all others are atomic. A list called `ports` is one or the other by where it stands."""

_WHOLE: Final = re.compile(
    r"spec\.((ingress|egress|rules|tls)\[.*|(selector|podSelector)(\..*)?|template\.spec\.(nodeSelector|tolerations\[.*))"
)
"""What the API takes from one writer as a whole, and sets no defaults in: whatever else stands there, somebody else put there."""

_QUANTITY_PATH: Final = re.compile(r"spec\.template\.spec\..*(\.resources\.(requests|limits)\.\w+|\.sizeLimit)")
_SUFFIXES: Final = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}
_MAX_SHOWN = 60


def differences(intended: Manifest, live: Manifest | None) -> tuple[str, ...]:
    """Return a reason for each difference that an apply would repair; empty when there is nothing to do."""
    if live is None:
        return ("missing",)
    found = tuple(_compare(_without_seal(intended), live, path=""))
    if found or _seal(intended) == _seal(live):
        return found
    return ("the intent changed: a field is no longer set",)


def canonical_quantity(value: object) -> Decimal | None:
    """Return the number that a quantity such as `1000m` or `1.5Gi` stands for, or None when it is not one."""
    text = str(value)
    digits = text.rstrip("kKmMGTPEi")
    try:
        return Decimal(digits) * _SUFFIXES[text[len(digits) :]]
    except (InvalidOperation, KeyError):
        return None


def _seal(manifest: Manifest) -> str | None:
    annotations: dict[str, str] = manifest["metadata"].get("annotations") or {}
    return annotations.get(names.INTENT_ANNOTATION)


def _without_seal(manifest: Manifest) -> Manifest:
    metadata = manifest["metadata"]
    annotations = {key: value for key, value in metadata["annotations"].items() if key != names.INTENT_ANNOTATION}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def _compare(intended: Any, live: Any, *, path: str) -> Iterator[str]:
    """Yield what differs at `path` and below, looking at what `intended` holds only."""
    if intended == live:
        return  # of most parts this is all there is to say, and four times as quick as going through them
    if isinstance(intended, dict) and isinstance(live, dict | None):
        for key, value in intended.items():
            yield from _compare(value, (live or {}).get(key), path=_join(path, key))
        if _WHOLE.fullmatch(path):
            yield from (f"{_join(path, key)}: {_shown(value)} → unset" for key, value in (live or {}).items() if key not in intended)
    elif isinstance(intended, list) and isinstance(live, list | None):
        yield from _compare_lists(intended, live or [], path=path)
    elif not _same_quantity(intended, live, path=path):
        yield f"{path}: {_shown(live)} → {_shown(intended)}"


def _compare_lists(intended: list[Any], live: list[Any], *, path: str) -> Iterator[str]:
    keys = _PORT_KEYS.get(path) or _MERGE_KEYS.get(path.rsplit(".", 1)[-1])
    if keys is None:
        yield from _compare_atomic(intended, live, path=path)
        return
    by_key = {tuple(item.get(key) for key in keys): item for item in live}
    for item in intended:
        identity = tuple(item.get(key) for key in keys)
        yield from _compare_item(item, by_key.get(identity), path=f"{path}[{'/'.join(str(part) for part in identity)}]")


def _compare_item(intended: Manifest, live: Manifest | None, *, path: str) -> Iterator[str]:
    if live is None:
        yield f"{path}: missing"
    else:
        yield from _compare(intended, live, path=path)


def _compare_atomic(intended: list[Any], live: list[Any], *, path: str) -> Iterator[str]:
    """Compare lists that one writer owns as a whole; their elements may still hold defaults of the API server."""
    if len(intended) != len(live):
        yield f"{path}: {len(live)} → {len(intended)} items"
        return
    for index, (mine, theirs) in enumerate(zip(intended, live, strict=True)):
        yield from _compare(mine, theirs, path=f"{path}[{index}]")


def _same_quantity(intended: object, live: object, *, path: str) -> bool:
    if not _QUANTITY_PATH.fullmatch(path):
        return False
    quantity = canonical_quantity(intended)
    return quantity is not None and quantity == canonical_quantity(live)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _shown(value: object) -> str:
    """Return a value for a reason; long texts (a system prompt) are none of a log's business."""
    if value is None:
        return "unset"
    text = str(value)
    return text if len(text) <= _MAX_SHOWN else f"{len(text)} characters"
