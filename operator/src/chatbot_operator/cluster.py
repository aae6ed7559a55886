"""The only module that calls the Kubernetes API: dicts in, dicts out, every failure as one of errors.py.

It keeps no state about objects and never retries a write: the work queue does, with a fresh look at the cache.
"""

import asyncio
import os
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

import aiohttp
import orjson
import structlog
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from chatbot_operator import errors
from chatbot_operator.names import FIELD_MANAGER
from chatbot_operator.resource import API_VERSION, KIND, PLURAL, Manifest

PAGE_SIZE = 500
WATCH_SILENCE_SECONDS = 90
"""The API server sends a bookmark about every minute: a longer silence is a dead connection."""

NEVER_A_VERSION: Final = "1"
"""A resourceVersion that no object has: 1 is the revision of an empty etcd, which the first object raises."""

_API_VERSIONS: Final = {
    KIND: (API_VERSION, PLURAL),
    "ConfigMap": ("v1", "configmaps"),
    "Deployment": ("apps/v1", "deployments"),
    "EndpointSlice": ("discovery.k8s.io/v1", "endpointslices"),
    "Event": ("events.k8s.io/v1", "events"),
    "Lease": ("coordination.k8s.io/v1", "leases"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "Pod": ("v1", "pods"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
    "Service": ("v1", "services"),
    "ServiceAccount": ("v1", "serviceaccounts"),
}

_RBAC_REFUSAL: Final = re.compile(r'User ".*" cannot \w+ resource')

logger = structlog.get_logger()


@dataclass(frozen=True)
class Connection:
    """Where the API server is and how to log in, for a client other than ours."""

    server: str
    ca_file: str | None
    certificate_file: str | None
    private_key_file: str | None
    token: str | None
    insecure: bool


async def load_configuration() -> Configuration:
    """Return the client's configuration: $KUBECONFIG, else the pod's service account, else ~/.kube/config."""
    configuration = Configuration()
    try:
        if "KUBECONFIG" not in os.environ and "KUBERNETES_SERVICE_HOST" in os.environ:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call] # the client's own
        else:
            file = os.environ.get("KUBECONFIG") or "~/.kube/config"
            await load_kube_config(file, client_configuration=configuration, persist_config=False)  # type: ignore[no-untyped-call] # as above
    except (ConfigException, OSError) as error:
        raise errors.SettingsInvalid(f"no access to a cluster is configured (KUBECONFIG or a service account): {error}") from error
    configuration.client_session_kwargs = {"trust_env": False}
    return configuration


def _path(kind: str, namespace: str | None, name: str | None = None) -> str:
    api_version, plural = _API_VERSIONS[kind]
    prefix = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"{prefix}{scope}/{plural}" + (f"/{name}" if name else "")


def _failure(status_code: int, body: bytes, *, what: str, retry_after: str | None) -> errors.ClusterError:
    """Return the error for an answer that is not a success."""
    try:
        status: Manifest = orjson.loads(body)
        message, reason = str(status.get("message") or ""), str(status.get("reason") or "")
        causes = (status.get("details") or {}).get("causes") or ()
    except (orjson.JSONDecodeError, AttributeError):
        message, reason, causes = body[:200].decode(errors="replace"), "", ()
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        reason = "NamespaceTerminating"
    if any(cause.get("field") == "metadata.uid" for cause in causes):
        status_code = 409  # the precondition of an apply, which the API server words as an invalid change of the uid
    match status_code:
        case 401:
            kind: type[errors.ClusterError] = errors.AccessDenied
        case 403:  # RBAC's words; everything else is admission's: quota, Pod Security, policies, webhooks
            kind = errors.AccessDenied if _RBAC_REFUSAL.search(message) else errors.RequestRefused
        case 404:
            kind = errors.ObjectNotFound
        case 409:
            kind = errors.ObjectConflict
        case 410:
            kind = errors.WatchExpired
        case 429:
            kind = errors.ClusterUnavailable
        case _:
            kind = errors.RequestRefused if 400 <= status_code < 500 else errors.ClusterUnavailable  # noqa: PLR2004
    seconds = float(retry_after) if retry_after and retry_after.isdigit() else None
    return kind(message or f"{what}: HTTP {status_code}", status_code=status_code, reason=reason, retry_after_seconds=seconds)


class Cluster:
    """The API server, spoken to as the operator."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        request_timeout_seconds: float = 20,
        may_write: Callable[[], bool] = lambda: True,
        on_answer: Callable[[str, str], None] = lambda _method, _code: None,
    ) -> None:
        self.may_write = may_write
        self.on_answer = on_answer
        self.host = urlsplit(configuration.host).netloc
        self._configuration = configuration
        self._client = ApiClient(configuration)
        self._request_timeout_seconds = request_timeout_seconds
        self._reached = False
        self._unreachable_since: float | None = None

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()  # type: ignore[no-untyped-call] # the client's own

    async def connection(self) -> Connection:
        """Return how to log in now; a service account's token is read anew once a minute."""
        configuration = self._configuration
        token = await configuration.get_api_key_with_prefix("BearerToken")
        return Connection(
            server=configuration.host,
            ca_file=configuration.ssl_ca_cert,
            certificate_file=configuration.cert_file,
            private_key_file=configuration.key_file,
            token=token.split(" ", 1)[-1].strip() if token else None,
            insecure=not configuration.verify_ssl,
        )

    async def wait_until_reachable(self, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Return once the API server answers; until then one log line for each try."""
        delay_seconds = 1.0
        while True:
            try:
                await self._request("GET", "/version")
            except errors.ClusterError as error:
                logger.warning("kubernetes api not reachable, retrying", server=self.host, error=str(error), retry_in_seconds=delay_seconds)
                await sleep(delay_seconds)
                delay_seconds = min(delay_seconds * 2, 15)
            else:
                return

    async def create(self, manifest: Manifest) -> Manifest:
        """Create an object that is not a child: an Event, a Lease."""
        return await self._request("POST", _path(manifest["kind"], manifest["metadata"]["namespace"]), manifest)

    async def read(self, kind: str, namespace: str, name: str) -> Manifest:
        """Return one object."""
        return await self._request("GET", _path(kind, namespace, name))

    async def replace(self, manifest: Manifest) -> Manifest:
        """Write an object as a whole, if its resourceVersion is still the current one."""
        metadata = manifest["metadata"]
        return await self._request("PUT", _path(manifest["kind"], metadata["namespace"], metadata["name"]), manifest)

    async def apply(self, manifest: Manifest, *, uid: str | None) -> Manifest:
        """Server-side apply a child: the one with `uid`, or a new one when `uid` is None.

        ObjectConflict says that the precondition did not hold: nothing was written. A new child carries a resourceVersion that no
        object has: the API server ignores it when it creates, and refuses it when an object of that name exists. So one request
        creates, never overwrites what is foreign, and leaves managed fields of the kind Apply, by which a later apply removes
        fields; a POST would leave fields of the kind Update, which nothing removes. An existing child carries its uid, so that
        one that took its place is not written either.
        """
        guard = {"uid": uid} if uid else {"resourceVersion": NEVER_A_VERSION}
        body = {**manifest, "metadata": {**manifest["metadata"], **guard}}
        return await self._apply(body)

    async def apply_status(self, resource: Manifest, status: Manifest) -> Manifest:
        """Write the status of this very version of the resource; ObjectNotFound and ObjectConflict say that it is gone or newer.

        The version also tells a resource from its successor of the same name: a custom resource's status ignores a uid.
        """
        metadata = {key: resource["metadata"][key] for key in ("namespace", "name", "resourceVersion")}
        body = {"apiVersion": resource["apiVersion"], "kind": resource["kind"], "metadata": metadata, "status": status}
        return await self._apply(body, subresource="/status")

    async def delete(self, manifest: Manifest) -> None:
        """Delete the object if it is still the very one, in the very version, that `manifest` shows."""
        metadata = manifest["metadata"]
        self._require_leadership()
        preconditions = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background", "preconditions": preconditions}
        await self._request("DELETE", _path(manifest["kind"], metadata["namespace"], metadata["name"]), options)

    async def list(self, kind: str, *, namespace: str | None = None, selector: str = "") -> tuple[list[Manifest], str]:
        """Return every object of `kind` in `namespace` (None: everywhere), and the version at which the list was read."""
        items: list[Manifest] = []
        query = {"limit": str(PAGE_SIZE), "labelSelector": selector}
        while True:
            page = await self._request("GET", _path(kind, namespace), query={key: value for key, value in query.items() if value})
            items += page["items"]
            metadata = page["metadata"]
            if not (token := metadata.get("continue")):
                break
            query["continue"] = token
        for item in items:
            item["apiVersion"], item["kind"] = _API_VERSIONS[kind][0], kind  # lists leave them out
        return items, metadata["resourceVersion"]

    async def watch(
        self, kind: str, *, since: str, timeout_seconds: int, namespace: str | None = None, selector: str = ""
    ) -> AsyncGenerator[tuple[str, Manifest], None]:
        """Yield (type, object) of what happens after version `since`, bookmarks too, until the server ends the watch."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "timeoutSeconds": str(timeout_seconds),
            "labelSelector": selector,
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._request_timeout_seconds, sock_read=WATCH_SILENCE_SECONDS)
        path = _path(kind, namespace)
        response = await self._send("GET", path, query={key: value for key, value in query.items() if value}, timeout=timeout)
        try:
            if response.status != 200:  # noqa: PLR2004
                raise _failure(response.status, await response.read(), what=f"watch {path}", retry_after=None)
            async with aclosing(_lines(response)) as lines:
                async for line in lines:
                    event = orjson.loads(line)
                    if event["type"] == "ERROR":
                        status = event["object"]
                        raise _failure(status.get("code", 500), orjson.dumps(status), what=f"watch {path}", retry_after=None)
                    yield event["type"], _trimmed(event["object"])
        except (aiohttp.ClientError, OSError) as error:
            raise errors.ClusterUnavailable(f"watch {path}: {_words(error)}") from error
        finally:
            response.close()

    def _require_leadership(self) -> None:
        if not self.may_write():
            raise errors.LeadershipLost("not the leader (any more): nothing is written")

    async def _apply(self, body: Manifest, *, subresource: str = "") -> Manifest:
        self._require_leadership()
        path = _path(body["kind"], body["metadata"]["namespace"], body["metadata"]["name"]) + subresource
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._request("PATCH", path, body, query=query, content_type="application/apply-patch+yaml")

    async def _request(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        *,
        query: dict[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Manifest:
        timeout = aiohttp.ClientTimeout(total=self._request_timeout_seconds)
        response = await self._send(method, path, body, query=query, content_type=content_type, timeout=timeout)
        try:
            data = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise errors.ClusterUnavailable(f"{method} {path}: {_words(error)}") from error
        if not 200 <= response.status < 300:  # noqa: PLR2004
            raise _failure(response.status, data, what=f"{method} {path}", retry_after=response.headers.get("Retry-After"))
        manifest: Manifest = orjson.loads(data)
        return _trimmed(manifest)

    async def _send(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        *,
        query: dict[str, str] | None,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 (aiohttp's own)
        content_type: str = "application/json",
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": FIELD_MANAGER}
        if token := await self._configuration.get_api_key_with_prefix("BearerToken"):
            headers["Authorization"] = token
        url = f"{self._configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            answer = await self._client.call_api(method, url, headers, body, _request_timeout=timeout)
        except (aiohttp.ClientError, OSError) as error:
            self.on_answer(method, "<error>")
            self._note_reachable(error)
            raise errors.ClusterUnavailable(f"{method} {path}: {_words(error)}") from error
        self.on_answer(method, str(answer.status))
        self._note_reachable(None)
        response: aiohttp.ClientResponse = answer.response
        return response

    def _note_reachable(self, error: Exception | None) -> None:
        """Log the beginning and the end of an outage once, however many requests it fails."""
        self._reached = self._reached or error is None
        if error is not None and self._reached and self._unreachable_since is None:
            self._unreachable_since = time.monotonic()
            logger.warning("kubernetes api unreachable", server=self.host, error=_words(error))
        elif error is None and self._unreachable_since is not None:
            outage_seconds = round(time.monotonic() - self._unreachable_since, 1)
            self._unreachable_since = None
            logger.info("kubernetes api reachable", server=self.host, outage_seconds=outage_seconds)


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _trimmed(manifest: Manifest) -> Manifest:
    """Leave out managedFields, which nothing here reads and which are half of many an object."""
    manifest.get("metadata", {}).pop("managedFields", None)
    for item in manifest.get("items") or ():
        item.get("metadata", {}).pop("managedFields", None)
    return manifest


async def _lines(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    """Yield the lines of any length; aiohttp's own iteration refuses the long ones."""
    pending = b""
    async for chunk in response.content.iter_any():
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line
