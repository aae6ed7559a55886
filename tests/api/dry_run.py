"""Asks the API server whether it would take a ChatbotDeployment: over one connection, milliseconds a question, and nothing is stored."""

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Self
from urllib.parse import urlsplit

from chatbot_operator.resource import GROUP, PLURAL, VERSION, Manifest
from devcluster.controlplane import ControlPlane

SECONDS = 30


class RefusedError(Exception):
    """The API server would not take it; the message is what kubectl would print."""


class DryRun:
    """A connection of an administrator's."""

    def __init__(self, connection: http.client.HTTPSConnection) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def of(cls, control_plane: ControlPlane) -> Iterator[Self]:
        pair = control_plane.authority.issue("dry-run", name="dry-run", organizations=("system:masters",))
        context = ssl.create_default_context(cafile=control_plane.authority.certificate)
        context.load_cert_chain(pair.certificate, pair.key)
        address = urlsplit(control_plane.url)
        connection = http.client.HTTPSConnection(address.hostname or "", address.port, context=context, timeout=SECONDS)
        yield cls(connection)
        connection.close()

    def create(self, manifest: Manifest, *, unknown_fields: Literal["Strict", "Ignore"] = "Strict") -> Manifest:
        """Return the resource as it would be stored, in the namespace `default`, or raise RefusedError."""
        metadata = {key: value for key, value in manifest["metadata"].items() if key not in ("uid", "generation")}
        body = json.dumps(manifest | {"metadata": metadata | {"namespace": "default"}})
        path = f"/apis/{GROUP}/{VERSION}/namespaces/default/{PLURAL}?dryRun=All&fieldValidation={unknown_fields}"
        self._connection.request("POST", path, body=body.encode(), headers={"Content-Type": "application/json"})
        response = self._connection.getresponse()
        answer: Manifest = json.loads(response.read())
        if response.status != http.client.CREATED:
            raise RefusedError(answer["message"])
        return answer
