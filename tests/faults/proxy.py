"""A proxy on 127.0.0.1 between an operator and the API server: HTTP towards the one, TLS with the operator's own key towards the other.

It knows what each request is: it breaks the write that a trap is set for, tampers with watches, and answers lists from the past.
What no fault is set for passes unchanged.
"""

import asyncio
import http
import os
import re
import signal
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import orjson
from aiohttp import web
from yarl import URL

from devcluster.controlplane import ControlPlane
from tests.api.operator_process import Account

Result = TypeVar("Result")

DELAY_SECONDS = 2.0
"""How much later than it happened a delayed event comes."""
REPEATED_EVENTS = 30
RETRY_AFTER_SECONDS = 1

_PATH = re.compile(
    r"/(?:api/v1|apis/[^/]+/[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+)(?P<subresource>/[a-z]+)?)?"
)
_KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{{name: proxy, cluster: {{server: {server}}}}}]
users: [{{name: proxy, user: {{}}}}]
contexts: [{{name: proxy, context: {{cluster: proxy, user: proxy}}}}]
current-context: proxy
"""


class Fault(StrEnum):
    """What can happen to a write."""

    KILLED_BEFORE = "killed-before"
    KILLED_AFTER = "killed-after-commit"
    CONFLICT = "409"
    THROTTLED = "429"
    FAILING = "500"
    ANSWER_LOST = "answer-lost"
    RESET = "reset"
    HANG = "hang"


GARBAGE = b"<html>It works!</html>"
"""What a stray web server says in place of the API server, with the status 200."""


class WatchFault(StrEnum):
    """What can happen to the events of every watch; bookmarks always pass, so that what is lost stays lost."""

    DROPPED = "dropped"
    REPEATED = "repeated"
    DELAYED = "delayed"


_STATUSES = {Fault.CONFLICT: (409, "Conflict"), Fault.THROTTLED: (429, "TooManyRequests"), Fault.FAILING: (500, "InternalError")}


@dataclass(frozen=True)
class Call:
    """What a request asks for; `resource` is the plural, with the subresource if there is one."""

    method: str
    resource: str = ""
    name: str = ""
    watch: bool = False

    @classmethod
    def of(cls, request: web.BaseRequest, body: bytes) -> "Call":
        """Return what `request` asks for; what it creates has its name in the body."""
        found = _PATH.fullmatch(request.path)
        if found is None:
            return cls(request.method)
        resource = found["plural"] + (found["subresource"] or "")
        created = orjson.loads(body)["metadata"]["name"] if request.method == "POST" else ""
        return cls(request.method, resource, found["name"] or created, request.query.get("watch") == "true")

    @property
    def lists(self) -> bool:
        """Tell whether this is a list."""
        return self.method == "GET" and bool(self.resource) and not self.name and not self.watch

    @property
    def writes(self) -> bool:
        """Tell whether this changes an object: a child or a status; Leases and Events are not what the operator is for."""
        return self.method != "GET" and self.resource not in ("leases", "events")


@dataclass
class Trap:
    """A fault for the first write that fits, after `skip` others that fit; an empty field fits everything."""

    fault: Fault
    method: str = ""
    resource: str = ""
    name: str = ""
    skip: int = 0
    sprung: threading.Event = field(default_factory=threading.Event)

    def fits(self, call: Call) -> bool:
        """Tell whether `call` is meant."""
        same = self.method in ("", call.method) and self.resource in ("", call.resource)
        return same and call.writes and call.name.startswith(self.name)


@dataclass(frozen=True)
class Answer:
    """What the API server answered."""

    status: int
    headers: dict[str, str]
    body: bytes


def kind_of(path: str) -> str:
    """Return the path of a list without its query: the same kind is asked for in several ways."""
    return path.partition("?")[0]


class Proxy:
    """A running proxy. Its settings may be changed at any time, from any thread."""

    def __init__(self, plane: ControlPlane, account: Account) -> None:
        self.victim: int | None = None
        """The pid of the operator, which some faults kill."""
        self.watch_fault: WatchFault | None = None
        self.past_served: set[str] = set()
        """Of which kinds, by the path of their list, the past was asked for since it is served."""
        self.garbles_writes = False
        """Whether writes are committed and answered with garbage."""
        self.written: list[tuple[Call, int]] = []
        """Every write that the API server answered, and with which status."""
        self.url = ""
        self._upstream = plane.url
        pair = plane.authority.issue(account.user.replace(":", "-"), name=account.user, organizations=("system:serviceaccounts",))
        self._tls = ssl.create_default_context(cafile=plane.authority.certificate)
        self._tls.load_cert_chain(pair.certificate, pair.key)
        self._past: dict[str, bytes] = {}
        self._traps: list[Trap] = []
        self._lists: set[str] = set()
        self._loop: asyncio.AbstractEventLoop
        self._session: aiohttp.ClientSession

    def set(self, trap: Trap) -> Trap:
        """Wait for the write that `trap` is for."""
        self._traps.append(trap)
        return trap

    def serve_past(self, lists: dict[str, bytes]) -> None:
        """Answer these lists, by path and query, from here instead of by the API server."""
        self._past, self.past_served = lists, set()

    def lists_now(self) -> dict[str, bytes]:
        """Return what every list that the operator has ever asked for says now."""

        async def fetch() -> dict[str, bytes]:
            return {path: (await self._send("GET", path, {}, b"")).body for path in sorted(self._lists)}

        return self._run(fetch())

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def serve(self, started: Callable[[asyncio.Event], None]) -> None:
        """Serve until the event that `started` is given is set."""
        self._loop, stop = asyncio.get_running_loop(), asyncio.Event()
        connector = aiohttp.TCPConnector(limit=0, ssl=self._tls)
        timeout = aiohttp.ClientTimeout(total=None)
        plain = {"Accept-Encoding": "identity"}
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=plain, read_bufsize=1 << 22) as self._session:
            server = web.Server(self._handle, handler_cancellation=True, access_log=None)
            runner = web.ServerRunner(server, shutdown_timeout=0)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            assert runner.addresses
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            started(stop)
            await stop.wait()
            await runner.cleanup()
        for transport in [*self._loop._transports.values()]:  # type: ignore[attr-defined] # of every loop that selects
            transport.abort()  # TLS that waits for the other side's goodbye would outlast the loop

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        call = Call.of(request, body)
        if call.watch:
            return await self._relay_watch(request)
        if call.lists and (stale := self._from_the_past(request.raw_path)) is not None:
            return web.Response(body=stale, content_type="application/json")
        trap = self._spring(call)
        if trap is not None:
            return await self._break(trap, call, request, body)
        answer = await self._forward(call, request, body)
        return _response(replace(answer, status=200, body=GARBAGE) if call.writes and self.garbles_writes else answer)

    def _from_the_past(self, path: str) -> bytes | None:
        self._lists.add(path)
        stale = self._past.get(path)
        if stale is not None:
            self.past_served.add(kind_of(path))
        return stale

    def _spring(self, call: Call) -> Trap | None:
        """Take the trap that this call steps into."""
        for trap in self._traps:
            if trap.fits(call):
                if trap.skip == 0:
                    self._traps.remove(trap)
                    return trap
                trap.skip -= 1
        return None

    async def _break(self, trap: Trap, call: Call, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        if trap.fault in (Fault.KILLED_AFTER, Fault.ANSWER_LOST):
            await self._forward(call, request, body)
        if trap.fault in (Fault.KILLED_BEFORE, Fault.KILLED_AFTER) and self.victim is not None:
            os.kill(self.victim, signal.SIGKILL)
        trap.sprung.set()
        if trap.fault in _STATUSES:
            return _refusal(*_STATUSES[trap.fault])
        if trap.fault is Fault.HANG:
            await asyncio.Event().wait()  # cancelled when the operator gives up
        return _reset(request)

    async def _forward(self, call: Call, request: web.BaseRequest, body: bytes) -> Answer:
        kept = {name: value for name, value in request.headers.items() if name.lower() in ("accept", "content-type", "user-agent")}
        answer = await self._send(request.method, request.raw_path, kept, body)
        if call.writes:
            self.written.append((call, answer.status))
        return answer

    async def _send(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        url = URL(f"{self._upstream}{path}", encoded=True)
        async with self._session.request(method, url, headers=headers, data=body or None) as answer:
            kept = {name: answer.headers[name] for name in ("Content-Type", "Retry-After") if name in answer.headers}
            return Answer(answer.status, kept, await answer.read())

    async def _relay_watch(self, request: web.BaseRequest) -> web.StreamResponse:
        url = URL(f"{self._upstream}{request.raw_path}", encoded=True)
        async with self._session.get(url, headers={"Accept": "application/json"}) as upstream:
            response = web.StreamResponse(status=upstream.status, headers={"Content-Type": "application/json"})
            await response.prepare(request)
            due: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read_events(upstream, due))
                while (next_one := await due.get()) is not None:
                    at, line = next_one
                    await asyncio.sleep(max(0.0, at - self._loop.time()))
                    await response.write(line)
            await response.write_eof()
            return response

    async def _read_events(self, upstream: aiohttp.ClientResponse, due: asyncio.Queue[tuple[float, bytes] | None]) -> None:
        """Put each event of a watch into `due` as often, and for as late a time, as the fault of the moment wants."""
        history: deque[bytes] = deque(maxlen=REPEATED_EVENTS)
        async for line in upstream.content:
            now = self._loop.time()
            if orjson.loads(line)["type"] == "BOOKMARK" or self.watch_fault is None:
                due.put_nowait((now, line))
            elif self.watch_fault is WatchFault.DELAYED:
                due.put_nowait((now + DELAY_SECONDS, line))
            elif self.watch_fault is WatchFault.REPEATED:
                history.append(line)
                for each in (line, *history):
                    due.put_nowait((now, each))
        due.put_nowait(None)


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


def _refusal(code: int, reason: str) -> web.Response:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": f"a fault: {reason}"}
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if code == http.HTTPStatus.TOO_MANY_REQUESTS else {}
    return web.json_response(status, status=code, headers=headers)


def _reset(request: web.BaseRequest) -> web.Response:
    """Close the connection by RST; what is returned goes nowhere."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response(status=500)


@contextmanager
def proxy_for(plane: ControlPlane, account: Account, directory: Path) -> Iterator[tuple[Proxy, Account]]:
    """Run a proxy until the block ends; the account that comes with it is the given one, whose way leads through the proxy."""
    proxy = Proxy(plane, account)
    started = threading.Event()
    stops: list[asyncio.Event] = []

    def note(stop: asyncio.Event) -> None:
        stops.append(stop)
        started.set()

    thread = threading.Thread(target=lambda: asyncio.run(proxy.serve(note)), name="proxy")
    thread.start()
    try:
        assert started.wait(timeout=20)
        kubeconfig = directory / f"{account.lease}.proxy.kubeconfig"
        kubeconfig.write_text(_KUBECONFIG.format(server=proxy.url))
        yield proxy, replace(account, kubeconfig=kubeconfig)
    finally:
        if stops:
            proxy._loop.call_soon_threadsafe(stops[0].set)
        thread.join()
