"""Watches that are read with pauses, from a server on 127.0.0.1 that says what a test has it say."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable

import aiohttp
import orjson
import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration

from chatbot_operator import informer as informer_module
from chatbot_operator.answers import read_lines
from chatbot_operator.cache import Cache
from chatbot_operator.cluster import Cluster
from chatbot_operator.informer import PAUSE_SECONDS, Change, Informer

END = b""
PLURALS = {"Deployment": "deployments", "EndpointSlice": "endpointslices", "Service": "services"}


class Server:
    """Lists nothing, and streams what is said of a kind to whoever watches it: END ends the answer, None cuts the connection."""

    def __init__(self) -> None:
        self.url = ""
        self.since: list[str] = []
        self._said: dict[str, asyncio.Queue[bytes | None]] = defaultdict(asyncio.Queue)

    def say(self, kind: str, *said: bytes | None) -> None:
        for line in said:
            self._said[PLURALS[kind]].put_nowait(line)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "7"}, "items": [], "resources": []})
        self.since.append(request.query["resourceVersion"])
        response = web.StreamResponse()
        await response.prepare(request)
        said = self._said[request.path.rpartition("/")[2]]
        while line := await said.get():
            await response.write(line)
        if line is None and request.transport is not None:
            request.transport.abort()
        return response


class Pause:
    """A pause that is over when a test says so."""

    def __init__(self) -> None:
        self.count = 0
        self.begun = asyncio.Event()
        self.over = asyncio.Event()

    async def __call__(self) -> None:
        self.count += 1
        self.begun.set()
        await self.over.wait()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    application = web.Application()
    application.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


@pytest.fixture
async def response(server: Server) -> AsyncIterator[aiohttp.ClientResponse]:
    async with aiohttp.ClientSession() as session, session.get(f"{server.url}/services?watch=true&resourceVersion=7") as response:
        yield response


@pytest.fixture
async def cluster(server: Server) -> AsyncIterator[Cluster]:
    configuration = Configuration()
    configuration.host = server.url
    cluster = Cluster(configuration)
    yield cluster
    await cluster.close()


async def until(condition: Callable[[], object]) -> None:
    """Let the loop go on until something is so."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 (nothing here has an event of its own)
            await asyncio.sleep(0)


async def in_the_pause(
    server: Server, response: aiohttp.ClientResponse, pause: Pause
) -> tuple[AsyncIterator[bytes], asyncio.Future[bytes]]:
    """Return the lines after the first, which is at once there, and the next of them, which waits for the pause to be over."""
    server.say("Service", b"first\n")
    lines = aiter(read_lines(response, pause=pause))
    assert await anext(lines) == b"first"
    coming = asyncio.ensure_future(anext(lines))
    await until(pause.begun.is_set)
    return lines, coming


async def test_first_line_comes_at_once_and_those_of_the_pause_after_it_together(server: Server, response: aiohttp.ClientResponse) -> None:
    pause = Pause()
    lines, coming = await in_the_pause(server, response, pause)

    server.say("Service", b"second\n", b"third\n")
    await until(lambda: response.content.total_bytes == len(b"first\nsecond\nthird\n"))
    assert not coming.done()
    pause.over.set()

    assert [await coming, await anext(lines)] == [b"second", b"third"]
    assert pause.count == 1


async def test_lines_are_all_there_when_the_watch_ends_in_the_pause(server: Server, response: aiohttp.ClientResponse) -> None:
    pause = Pause()
    lines, coming = await in_the_pause(server, response, pause)

    server.say("Service", b"second\n", b"third\n", END)
    await until(response.content.is_eof)
    pause.over.set()

    assert [await coming, *[line async for line in lines]] == [b"second", b"third"]


async def test_reader_that_is_behind_makes_no_pause(server: Server, response: aiohttp.ClientResponse) -> None:
    pause = Pause()
    lines, coming = await in_the_pause(server, response, pause)

    server.say("Service", b"x" * 100_000 + b"\n")
    await until(lambda: response.content.total_bytes > 100_000)
    pause.over.set()
    await coming
    server.say("Service", b"third\n")

    assert await anext(lines) == b"third"
    assert pause.count == 1


def event(kind: str, version: int) -> bytes:
    metadata = {"namespace": "team", "name": "bot", "resourceVersion": str(version)}
    return orjson.dumps({"type": "MODIFIED", "object": {"kind": kind, "metadata": metadata}}) + b"\n"


async def test_what_a_broken_connection_took_with_it_in_the_pause_comes_by_the_next_watch(
    server: Server, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(informer_module, "OWNED_KINDS", ("EndpointSlice",))
    monkeypatch.setattr(informer_module, "OPTIONAL_KINDS", ())
    seen: list[Change] = []
    cut = False

    connector = cluster._open_session().connector
    assert connector is not None
    connections = connector._acquired

    async def sleep(seconds: float) -> None:
        nonlocal cut
        if seconds != PAUSE_SECONDS or cut:
            return
        cut = True
        server.say("EndpointSlice", event("EndpointSlice", 9), None)
        await until(lambda: not any(connection.transport for connection in connections))

    informer = Informer(cluster, Cache(), on_change=seen.append, sleep=sleep)
    task = asyncio.create_task(informer.run())
    server.say("EndpointSlice", event("EndpointSlice", 8))
    await until(lambda: len(server.since) == 2)
    server.say("EndpointSlice", event("EndpointSlice", 9))
    await until(lambda: len(seen) == 2)
    task.cancel()
    await asyncio.wait({task})

    assert server.since == ["7", "8"]


async def test_pauses_are_made_for_what_a_rollout_makes_many_of_and_nothing_else(
    server: Server, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(informer_module, "OWNED_KINDS", tuple(PLURALS))
    monkeypatch.setattr(informer_module, "OPTIONAL_KINDS", ())
    seen: list[Change] = []
    pauses: dict[str, float] = {}

    async def sleep(seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        pauses[task.get_name()] = seconds
        await asyncio.Event().wait()

    task = asyncio.create_task(Informer(cluster, Cache(), on_change=seen.append, sleep=sleep).run())
    for kind in PLURALS:
        server.say(kind, event(kind, 8))
    await until(lambda: len(seen) == 3)
    server.say("Service", event("Service", 9))
    await until(lambda: len(seen) == 4 and len(pauses) == 2)
    task.cancel()
    await asyncio.wait({task})

    assert pauses == {"informer Deployment": 0.5, "informer EndpointSlice": 0.5}
