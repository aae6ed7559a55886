"""The only module that calls the Kubernetes API: dicts in, dicts out, every failure as one of errors.py.

It keeps no state about objects and never retries a write: the work queue does, with a fresh look at the cache.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import urlencode, urlsplit

import aiohttp
import orjson
import structlog
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from yarl import URL

from chatbot_operator import errors
from chatbot_operator.answers import check_object, decode, failure_of, read_lines, trim, words_of
from chatbot_operator.bodies import APPLY, encode
from chatbot_operator.names import FIELD_MANAGER
from chatbot_operator.resource import API_VERSION, KIND, PLURAL, Manifest

PAGE_SIZE = 100
"""Decoded at once, for each kind of object, when the operator starts; memory that it needs only then stays its own."""
WATCH_SILENCE_SECONDS = 90
"""The API server sends a bookmark about every minute: a longer silence is a dead connection."""

KEPT_SECONDS = 30
"""For which an idle connection is kept, since a handshake costs more than a request; the API server keeps it for 90."""

ALREADY_EXISTS: Final = "AlreadyExists"
"""The reason of a conflict with the object itself."""

NEVER_A_VERSION: Final = "1"
"""A resourceVersion that no object has: 1 is the revision of an empty etcd, which the first object raises."""

_API_VERSIONS: Final = {
    KIND: (API_VERSION, PLURAL),
    "ConfigMap": ("v1", "configmaps"),
    "Deployment": ("apps/v1", "deployments"),
    "EndpointSlice": ("discovery.k8s.io/v1", "endpointslices"),
    "Event": ("events.k8s.io/v1", "events"),
    "Ingress": ("networking.k8s.io/v1", "ingresses"),
    "Lease": ("coordination.k8s.io/v1", "leases"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "Pod": ("v1", "pods"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
    "PodMonitor": ("monitoring.coreos.com/v1", "podmonitors"),
    "Secret": ("v1", "secrets"),
    "Service": ("v1", "services"),
    "ServiceAccount": ("v1", "serviceaccounts"),
}

_FORCED: Final = urlencode({"fieldManager": FIELD_MANAGER, "force": "true"})
_ELECTION: Final = f"/apis/{_API_VERSIONS['Lease'][0]}/"

logger = structlog.get_logger()


@dataclass(frozen=True)
class Connection:
    """Where the API server is and how to log in, for a client other than ours."""

    server: str
    ca_file: str | None
    certificate_file: str | None
    private_key_file: str | None
    token: str | None
    proxy: str | None
    insecure: bool


class Page(NamedTuple):
    """A part of a list, and the version at which the whole list was read."""

    items: Sequence[Manifest]
    version: str


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
    if configuration.tls_server_name:  # kopf has nowhere to put it, and would fail in silence
        raise errors.SettingsInvalid("tls-server-name in the kubeconfig is not supported: name a server that its certificate is for")
    configuration.client_session_kwargs = {"trust_env": False}
    return configuration


def _path(kind: str, namespace: str | None, name: str | None = None) -> str:
    api_version, plural = _API_VERSIONS[kind]
    prefix = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"{prefix}{scope}/{plural}" + (f"/{name}" if name else "")


def _encoded(query: dict[str, str]) -> str:
    """Return a query without what is empty."""
    return urlencode({key: value for key, value in query.items() if value})


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
        server = urlsplit(configuration.host)
        self.host = server.netloc
        self._base_path = server.path
        self._configuration = configuration
        self._client = ApiClient(configuration)
        self._session: aiohttp.ClientSession | None = None
        self._request_timeout_seconds = request_timeout_seconds
        self._reached = False
        self._unreachable_since: float | None = None

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()  # type: ignore[no-untyped-call] # the client's own
        if self._session is not None:
            await self._session.close()

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
            proxy=configuration.proxy,
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

    async def serves(self, kind: str) -> bool:
        """Tell whether the API server knows `kind`."""
        api_version, plural = _API_VERSIONS[kind]
        try:
            discovered = await self._request("GET", f"/apis/{api_version}")
        except errors.ObjectNotFound:
            return False
        return any(resource["name"] == plural for resource in discovered.get("resources") or ())

    async def create(self, manifest: Manifest) -> Manifest:
        """Create an object that is not a child: an Event, a Lease."""
        return await self._request_object("POST", _path(manifest["kind"], manifest["metadata"]["namespace"]), manifest)

    async def read(self, kind: str, namespace: str, name: str) -> Manifest:
        """Return one object."""
        return await self._request_object("GET", _path(kind, namespace, name))

    async def replace(self, manifest: Manifest) -> Manifest:
        """Write an object as a whole, if its resourceVersion is still the current one."""
        metadata = manifest["metadata"]
        return await self._request_object("PUT", _path(manifest["kind"], metadata["namespace"], metadata["name"]), manifest)

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
        preconditions = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background", "preconditions": preconditions}
        await self._request("DELETE", _path(manifest["kind"], metadata["namespace"], metadata["name"]), options)

    async def create_once(self, manifest: Manifest) -> bool:
        """Create a child that is never read, compared or changed; return whether it was not there before."""
        try:
            await self.create(manifest)
        except errors.ObjectConflict as error:
            if error.reason != ALREADY_EXISTS:
                raise  # such as a quota that somebody else writes in the same moment
            return False
        return True

    async def list(self, kind: str, *, namespace: str | None = None, selector: str = "") -> tuple[list[Manifest], str]:
        """Return every object of `kind` in `namespace` (None: everywhere), and the version at which the list was read."""
        items: list[Manifest] = []
        version = "0"
        async for page in self.pages(kind, namespace=namespace, selector=selector):
            items += page.items
            version = page.version
        return items, version

    async def pages(self, kind: str, *, namespace: str | None = None, selector: str = "") -> AsyncGenerator[Page, None]:
        """Yield what `list` returns page by page, so that a long list need not be held as a whole; every page is of one version."""
        query = {"limit": str(PAGE_SIZE), "labelSelector": selector}
        while True:
            page = await self._request_object("GET", _path(kind, namespace), query=_encoded(query))
            if not isinstance(items := page.get("items"), list):
                raise errors.ClusterUnavailable(f"GET {_path(kind, namespace)}: the answer is no list")
            for item in items:
                item["apiVersion"], item["kind"] = _API_VERSIONS[kind][0], kind  # lists leave them out
            yield Page(items, page["metadata"]["resourceVersion"])
            if not (token := page["metadata"].get("continue")):
                return
            query["continue"] = token

    async def watch(
        self,
        kind: str,
        *,
        since: str,
        timeout_seconds: int,
        namespace: str | None = None,
        selector: str = "",
        pause: Callable[[], Awaitable[None]] | None = None,
    ) -> AsyncGenerator[tuple[str, Manifest], None]:
        """Yield (type, object) of what happens after version `since`, bookmarks too, until the server ends the watch.

        What comes during a `pause`, which follows each read, is read together.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "timeoutSeconds": str(timeout_seconds),
            "labelSelector": selector,
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._request_timeout_seconds, sock_read=WATCH_SILENCE_SECONDS)
        path = _path(kind, namespace)
        response = await self._send("GET", path, query=_encoded(query), timeout=timeout)
        try:
            if response.status != 200:  # noqa: PLR2004
                raise failure_of(response.status, await response.read(), what=f"watch {path}", retry_after=None)
            async with aclosing(read_lines(response, pause=pause)) as lines:
                async for line in lines:
                    event = decode(line, what=f"watch {path}")
                    status = event.get("object")
                    if event.get("type") == "ERROR" and isinstance(status, dict):
                        raise failure_of(status.get("code", 500), orjson.dumps(status), what=f"watch {path}", retry_after=None)
                    yield str(event.get("type")), trim(check_object(status, what=f"watch {path}"))
        except (aiohttp.ClientError, OSError) as error:
            raise errors.ClusterUnavailable(f"watch {path}: {words_of(error)}") from error
        finally:
            response.close()

    def _require_leadership(self, method: str, path: str) -> None:
        """Raise LeadershipLost for any write, be it an Event, but of the Lease itself."""
        if method != "GET" and not path.startswith(_ELECTION) and not self.may_write():
            raise errors.LeadershipLost("not the leader (any more): nothing is written")

    async def _apply(self, body: Manifest, *, subresource: str = "") -> Manifest:
        path = _path(body["kind"], body["metadata"]["namespace"], body["metadata"]["name"]) + subresource
        return await self._request_object("PATCH", path, body, query=_FORCED, content_type=APPLY)

    async def _request(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        *,
        query: str = "",
        content_type: str = "application/json",
    ) -> Manifest:
        timeout = aiohttp.ClientTimeout(total=self._request_timeout_seconds)
        response = await self._send(method, path, body, query=query, content_type=content_type, timeout=timeout)
        try:
            data = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise errors.ClusterUnavailable(f"{method} {path}: {words_of(error)}") from error
        if not 200 <= response.status < 300:  # noqa: PLR2004
            raise failure_of(response.status, data, what=f"{method} {path}", retry_after=response.headers.get("Retry-After"))
        return decode(data, what=f"{method} {path}")

    async def _request_object(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        *,
        query: str = "",
        content_type: str = "application/json",
    ) -> Manifest:
        """Send a request whose answer is an object or a list."""
        answer = await self._request(method, path, body, query=query, content_type=content_type)
        return trim(check_object(answer, what=f"{method} {path}"))

    async def _send(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        *,
        query: str,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 (aiohttp's own)
        content_type: str = "application/json",
    ) -> aiohttp.ClientResponse:
        self._require_leadership(method, path)
        headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": FIELD_MANAGER}
        if token := await self._configuration.get_api_key_with_prefix("BearerToken"):
            headers["Authorization"] = token
        url = URL(f"{self._configuration.host}{path}" + (f"?{query}" if query else ""), encoded=True)
        data = None if body is None else encode(body, content_type=content_type)
        try:
            answer = await self._open_session().request(method, url, headers=headers, data=data, timeout=timeout, allow_redirects=False)
        except (aiohttp.ClientError, OSError) as error:
            self.on_answer(method, "<error>")
            self._note_reachable(error)
            raise errors.ClusterUnavailable(f"{method} {path}: {words_of(error)}") from error
        self.on_answer(method, str(answer.status))
        self._note_reachable(None)
        return answer

    def _open_session(self) -> aiohttp.ClientSession:
        """Return the connections, with the TLS that the official client makes of its configuration.

        Its `call_api` encodes bodies by the standard library, for a tenth of the CPU of an apply.
        """
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_SECONDS, ssl=self._client.rest_client.ssl_context)
            self._session = aiohttp.ClientSession(
                connector=connector,
                request_class=_checked_requests(self._require_leadership, base_path=self._base_path),
                proxy=self._configuration.proxy,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _note_reachable(self, error: Exception | None) -> None:
        """Log the beginning and the end of an outage once, however many requests it fails."""
        self._reached = self._reached or error is None
        if error is not None and self._reached and self._unreachable_since is None:
            self._unreachable_since = time.monotonic()
            logger.warning("kubernetes api unreachable", server=self.host, error=words_of(error))
        elif error is None and self._unreachable_since is not None:
            outage_seconds = round(time.monotonic() - self._unreachable_since, 1)
            self._unreachable_since = None
            logger.info("kubernetes api reachable", server=self.host, outage_seconds=outage_seconds)


def _checked_requests(check: Callable[[str, str], None], *, base_path: str) -> type[aiohttp.ClientRequest]:
    """Return requests that are checked once more, by what they ask of the API server at `base_path`, when they have their connection.

    A process that stands still during the handshake may have lost the Lease before anything was sent.
    """

    class CheckedRequest(aiohttp.ClientRequest):
        async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
            check(self.method, self.url.raw_path.removeprefix(base_path))
            return await super().send(conn)

    return CheckedRequest
