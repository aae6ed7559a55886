"""Asks the API server whether it would take an object: over one connection, milliseconds a question, and nothing is stored."""

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Self
from urllib.parse import urlsplit

from chatbot_operator.bodies import APPLY, encode
from chatbot_operator.names import FIELD_MANAGER
from chatbot_operator.resource import GROUP, PLURAL, VERSION, Manifest
from devcluster.controlplane import ControlPlane

SECONDS = 30
PLURALS = {"Ingress": "ingresses", "NetworkPolicy": "networkpolicies"}
"""Of the kinds of which it is not the kind and an s."""


class RefusedError(Exception):
    """The API server would not take it; the message is what kubectl would print."""


class DryRun:
    """A connection of one user's, an administrator unless told otherwise, about one namespace."""

    def __init__(self, connection: http.client.HTTPSConnection, namespace: str) -> None:
        self._connection = connection
        self._namespace = namespace

    @classmethod
    @contextmanager
    def of(
        cls,
        control_plane: ControlPlane,
        *,
        user: str = "dry-run",
        groups: tuple[str, ...] = ("system:masters",),
        namespace: str = "default",
    ) -> Iterator[Self]:
        pair = control_plane.authority.issue(user.replace(":", "-"), name=user, organizations=groups)
        context = ssl.create_default_context(cafile=control_plane.authority.certificate)
        context.load_cert_chain(pair.certificate, pair.key)
        address = urlsplit(control_plane.url)
        connection = http.client.HTTPSConnection(address.hostname or "", address.port, context=context, timeout=SECONDS)
        yield cls(connection, namespace)
        connection.close()

    def create(self, manifest: Manifest, *, unknown_fields: Literal["Strict", "Ignore"] = "Strict") -> Manifest:
        """Return the resource as it would be stored, or raise RefusedError."""
        metadata = {key: value for key, value in manifest["metadata"].items() if key not in ("uid", "generation")}
        body = json.dumps(manifest | {"metadata": metadata | {"namespace": self._namespace}})
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{self._namespace}/{PLURAL}?dryRun=All&fieldValidation={unknown_fields}"
        return self._ask("POST", path, body.encode(), content_type="application/json")

    def apply(self, manifest: Manifest) -> Manifest:
        """Return the object as it would be stored when the operator applies it, or raise RefusedError."""
        plural = PLURALS.get(manifest["kind"], f"{manifest['kind'].lower()}s")
        metadata = manifest["metadata"]
        path = f"{_prefix(manifest['apiVersion'])}/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"
        query = f"?dryRun=All&fieldManager={FIELD_MANAGER}&force=true"
        return self._ask("PATCH", path + query, encode(manifest, content_type=APPLY), content_type=APPLY)

    def _ask(self, method: str, path: str, body: bytes, *, content_type: str) -> Manifest:
        self._connection.request(method, path, body=body, headers={"Content-Type": content_type})
        response = self._connection.getresponse()
        answer: Manifest = json.loads(response.read())
        if response.status not in (http.client.OK, http.client.CREATED):
            raise RefusedError(answer["message"])
        return answer


def _prefix(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
