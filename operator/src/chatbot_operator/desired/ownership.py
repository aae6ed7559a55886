"""What every child has in common: owner reference, labels, and the seal that tells whether it is today's intent."""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

import orjson

from chatbot_operator import names
from chatbot_operator.resource import API_VERSION, KIND, ChatbotDeployment, Manifest


def build_child(
    resource: ChatbotDeployment,
    *,
    api_version: str,
    kind: str,
    name: str,
    labels: Mapping[str, str] = MappingProxyType({}),
    annotations: Mapping[str, str] = MappingProxyType({}),
) -> Manifest:
    """Return the head of a child: type, name, labels and a controller reference that never blocks the owner's deletion.

    Labels of ours win over further ones.
    """
    owner = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": resource.name,
        "uid": resource.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": resource.namespace,
            "labels": {**labels, **names.labels(resource.name)},
            "annotations": dict(annotations),
            "ownerReferences": [owner],
        },
    }


def intent_hash(manifest: Manifest) -> str:
    """Return a digest of everything that the manifest says."""
    return hashlib.sha256(orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def seal(manifest: Manifest) -> Manifest:
    """Return the manifest with its own digest as an annotation: a field that is no longer rendered then shows as a difference too."""
    metadata = manifest["metadata"]
    annotations = {**metadata["annotations"], names.INTENT_ANNOTATION: intent_hash(manifest)}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}
