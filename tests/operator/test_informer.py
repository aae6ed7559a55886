"""What the informer does about a server, or a proxy before it, that ends each watch at once: a real one, on 127.0.0.1."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration

from chatbot_operator import informer as informer_module
from chatbot_operator.cache import Cache
from chatbot_operator.cluster import Cluster
from chatbot_operator.informer import MAX_DELAY_SECONDS, Informer

PAUSES = 10


class Server:
    """Serves an empty list of every kind, and watches that end, well, before anything happened."""

    def __init__(self) -> None:
        self.watches = 0

    async def answer(self, request: web.Request) -> web.Response:
        if request.query.get("watch"):
            self.watches += 1
            return web.Response()
        return web.json_response({"metadata": {"resourceVersion": "7"}, "items": [], "resources": []})


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def cluster(server: Server) -> AsyncIterator[Cluster]:
    application = web.Application()
    application.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration = Configuration()
    configuration.host = f"http://127.0.0.1:{runner.addresses[0][1]}"
    cluster = Cluster(configuration)
    yield cluster
    await cluster.close()
    await runner.cleanup()


async def test_watches_that_end_at_once_are_taken_up_less_and_less_often(
    cluster: Cluster, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(informer_module, "OWNED_KINDS", ("Service",))
    monkeypatch.setattr(informer_module, "OPTIONAL_KINDS", ())
    pauses: list[float] = []
    enough = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == PAUSES:
            enough.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(Informer(cluster, Cache(), on_change=lambda _change: None, sleep=sleep).run())
    async with asyncio.timeout(20):
        await enough.wait()
    task.cancel()
    await asyncio.wait({task})

    assert server.watches == PAUSES
    assert pauses[0] <= 0.1
    assert MAX_DELAY_SECONDS / 2 <= pauses[-1] <= MAX_DELAY_SECONDS
