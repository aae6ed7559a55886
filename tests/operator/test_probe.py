import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from chatbot_operator import probe
from chatbot_operator.cache import Cache, ResourceKey
from chatbot_operator.names import labels
from chatbot_operator.probe import UNHEARD_SECONDS, Prober
from chatbot_operator.resource import KIND, Manifest
from tests.clock import Clock

KEY = ResourceKey("team", "bot")
OTHER = ResourceKey("team", "other")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def report(uid: str = "pod-1", state: str = "ready") -> dict[str, Any]:
    return {
        "version": 1,
        "pod": {"uid": uid, "templateHash": "abc"},
        "state": state,
        "breaker": {"claude-sonnet-5-5": {"state": "closed", "trips": 0}},
        "credentials": {"state": "Accepted"},
        "model": {"name": "claude-sonnet-5-5", "state": "Available"},
    }


def endpoint(uid: str, address: str = "127.0.0.1", **conditions: bool) -> Manifest:
    return {"addresses": [address], "conditions": conditions, "targetRef": {"kind": "Pod", "uid": uid}}


def endpoint_slice(*endpoints: Manifest, name: str = "bot", owner: str = "service-uid", version: int = 2) -> Manifest:
    controller = {"kind": "Service", "name": name, "uid": owner, "controller": True}
    metadata = {"namespace": "team", "name": f"{name}-{owner}", "resourceVersion": str(version), "ownerReferences": [controller]}
    return {"kind": "EndpointSlice", "metadata": {**metadata, "labels": labels(name)}, "endpoints": list(endpoints)}


def bot(uid: str = "bot-uid", *, name: str = "bot", version: int = 1) -> Manifest:
    return {"kind": KIND, "metadata": {"namespace": "team", "name": name, "uid": uid, "resourceVersion": str(version)}}


def service(owner: str = "bot-uid", *, name: str = "bot", uid: str = "service-uid", version: int = 1) -> Manifest:
    controller = {"kind": KIND, "name": name, "uid": owner, "controller": True}
    metadata = {"namespace": "team", "name": name, "uid": uid, "resourceVersion": str(version), "ownerReferences": [controller]}
    return {"kind": "Service", "metadata": metadata}


@pytest.fixture
def cache() -> Cache:
    cache = Cache()
    for manifest in (bot(), service(), endpoint_slice(endpoint("pod-1"))):
        cache.put(manifest)
    return cache


def add_other(cache: Cache, *endpoints: Manifest) -> None:
    """Let the cache know another resource, with these pods."""
    for manifest in (bot("other-uid", name="other"), service("other-uid", name="other", uid="other-service-uid")):
        cache.put(manifest)
    cache.put(endpoint_slice(*endpoints, name="other", owner="other-service-uid"))


class Pods:
    """Pods that answer on one port of 127.0.0.1; each test says how."""

    def __init__(self) -> None:
        self.port = 0
        self.asked = 0
        self.connections: set[Any] = set()
        self.answer: Handler = self._report

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        self.connections.add(request.transport)
        assert request.path == "/report"
        return await self.answer(request)

    async def _report(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(report())


@pytest.fixture
async def pods() -> AsyncIterator[Pods]:
    pods = Pods()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", pods.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    pods.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr] # the only way to learn a port chosen by the system
    yield pods
    await runner.cleanup()


class Changed:
    """Hears of changes of the fleet's health."""

    def __init__(self) -> None:
        self.keys: list[ResourceKey] = []
        self._more = asyncio.Event()

    def __call__(self, key: ResourceKey) -> None:
        self.keys.append(key)
        self._more.set()

    async def again(self) -> None:
        async with asyncio.timeout(10):
            await self._more.wait()
        self._more.clear()


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes come one at a time, so that no group of them is waited for."""
    monkeypatch.setattr(probe, "SETTLE_SECONDS", 0)


async def polled(prober: Prober) -> None:
    """Return when what changed was read; a poll without pods is no news."""
    async with asyncio.timeout(10):
        while prober._pods[KEY].has_changed:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(prober: Prober) -> AsyncIterator[None]:
    task = asyncio.create_task(prober.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_reports_become_the_health_of_the_fleet(cache: Cache, pods: Pods) -> None:
    changed = Changed()
    prober = Prober(cache, on_change=changed, port=pods.port)

    assert prober.health(KEY) is None
    async with running(prober):
        await changed.again()
        health = prober.health(KEY)

    assert health is not None
    assert health.expected == 1
    assert list(health.pods) == ["pod-1"]


async def test_unchanged_health_is_no_news_and_connections_are_kept(cache: Cache, pods: Pods) -> None:
    changed = Changed()
    async with running(Prober(cache, on_change=changed, port=pods.port, interval_seconds=0.05)):
        async with asyncio.timeout(10):
            while pods.asked < 5:  # noqa: ASYNC110 (the server has no event of its own)
                await asyncio.sleep(0.01)

    assert changed.keys == [KEY]
    assert len(pods.connections) == 1


async def redirect(_request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/elsewhere")


async def oversized(_request: web.Request) -> web.StreamResponse:
    return web.json_response(report(state="x" * 63) | {"padding": "x" * 5000})


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" " * 1024)
        await asyncio.sleep(0)


async def hanging(_request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


async def empty(_request: web.Request) -> web.StreamResponse:
    return web.Response()


async def garbage(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"\xff\xfe[[[[")


async def failing(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=500, text=json.dumps(report()))


async def impostor(_request: web.Request) -> web.StreamResponse:
    return web.json_response(report(uid="pod-2"))


@pytest.mark.parametrize("answer", [redirect, oversized, endless, hanging, garbage, failing, impostor])
async def test_answer_that_cannot_be_trusted_is_no_report(cache: Cache, pods: Pods, answer: Handler) -> None:
    pods.answer = answer
    changed = Changed()
    prober = Prober(cache, on_change=changed, port=pods.port, timeout_seconds=0.3)

    async with running(prober):
        await changed.again()
        health = prober.health(KEY)

    assert health is not None
    assert (health.expected, len(health.pods)) == (1, 0)
    assert pods.asked == 1


async def test_pod_that_refuses_connections_is_no_report(cache: Cache) -> None:
    changed = Changed()
    prober = Prober(cache, on_change=changed, port=1)

    async with running(prober):
        await changed.again()
        health = prober.health(KEY)

    assert health is not None
    assert (health.expected, len(health.pods)) == (1, 0)


async def test_no_more_than_the_allowed_number_is_asked_at_once(cache: Cache, pods: Pods) -> None:
    cache.put(endpoint_slice(*(endpoint(f"pod-{number}") for number in range(20)), version=3))
    at_once = most = 0

    async def slow(_request: web.Request) -> web.StreamResponse:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.02)
        at_once -= 1
        return web.json_response(report())

    pods.answer = slow
    changed = Changed()
    async with running(Prober(cache, on_change=changed, port=pods.port, concurrency=4)):
        await changed.again()

    assert pods.asked == 20
    assert most == 4


@pytest.mark.usefixtures("settled")
async def test_changed_endpoints_are_asked_soon(cache: Cache, pods: Pods) -> None:
    changed = Changed()
    prober = Prober(cache, on_change=changed, port=pods.port, interval_seconds=600)
    async with running(prober):
        await changed.again()

        cache.put(endpoint_slice(endpoint("pod-1"), endpoint("pod-2"), version=3))
        prober.nudge(KEY)
        await changed.again()

        health = prober.health(KEY)
        assert health is not None
        assert health.expected == 2


async def test_standby_knows_of_no_pod_and_the_next_term_begins_anew(cache: Cache, pods: Pods) -> None:
    changed = Changed()
    prober = Prober(cache, on_change=changed, port=pods.port)
    async with running(prober):
        await changed.again()
    assert not prober._pods
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slowly(_request: web.Request) -> web.StreamResponse:
        asked.set()
        await answer.wait()
        return web.json_response(report())

    pods.answer = slowly
    async with running(prober), asyncio.timeout(10):
        await asked.wait()
        assert prober.health(KEY) is None
        answer.set()
        await changed.again()

        assert prober.health(KEY) is not None


async def test_resource_that_is_gone_is_forgotten(cache: Cache, pods: Pods) -> None:
    changed = Changed()
    prober = Prober(cache, on_change=changed, port=pods.port, interval_seconds=0.05)
    async with running(prober):
        await changed.again()
        resource = cache.get(KIND, *KEY)
        assert resource is not None
        cache.forget(resource)

        async with asyncio.timeout(10):
            while prober.health(KEY) is not None:  # noqa: ASYNC110 (forgetting is no news)
                await asyncio.sleep(0.01)


@pytest.mark.usefixtures("settled")
async def test_pods_that_were_seen_before_their_resource_are_asked_when_it_is_seen(pods: Pods) -> None:
    cache, changed = Cache(), Changed()
    prober = Prober(cache, on_change=changed, port=pods.port, interval_seconds=600)
    async with running(prober):
        await asyncio.sleep(0)
        cache.put(service())
        cache.put(endpoint_slice(endpoint("pod-1")))
        prober.nudge(KEY)

        cache.put(bot())
        prober.discover(KEY)
        await changed.again()
        health = prober.health(KEY)

    assert health is not None
    assert list(health.pods) == ["pod-1"]


@pytest.mark.usefixtures("settled")
async def test_pods_that_were_seen_before_their_service_are_asked_in_the_next_round(pods: Pods) -> None:
    cache, changed = Cache(), Changed()
    cache.put(bot())
    prober = Prober(cache, on_change=changed, port=pods.port, interval_seconds=0.05)
    async with running(prober):
        cache.put(endpoint_slice(endpoint("pod-1")))
        prober.nudge(KEY)
        await polled(prober)

        cache.put(service())
        await changed.again()

        assert prober.health(KEY) is not None


@pytest.mark.usefixtures("settled")
async def test_resource_of_the_same_name_has_nothing_of_the_former_and_waits_for_none_of_its_pods(cache: Cache, pods: Pods) -> None:
    asked, never = asyncio.Event(), asyncio.Event()

    async def first_one_hangs(_request: web.Request) -> web.StreamResponse:
        if pods.asked == 1:
            asked.set()
            await never.wait()
        return web.json_response(report())

    pods.answer = first_one_hangs
    changed = Changed()
    prober = Prober(cache, on_change=changed, port=pods.port, interval_seconds=600, timeout_seconds=60)
    async with running(prober), asyncio.timeout(10):
        await asked.wait()

        cache.put(bot("successor-uid", version=9))
        prober.discover(KEY)
        prober.nudge(KEY)
        await polled(prober)
        assert prober.health(KEY) is None
        assert not prober.unheard(KEY)
        assert pods.asked == 1

        cache.put(service("successor-uid", uid="successor-service-uid", version=10))
        cache.put(endpoint_slice(endpoint("pod-1"), owner="successor-service-uid", version=11))
        prober.nudge(KEY)
        await changed.again()

        assert prober.health(KEY) is not None
        never.set()


async def test_new_resource_without_pods_is_not_polled(clock: Clock) -> None:
    cache = Cache()
    cache.put(bot())
    prober = Prober(cache, on_change=Changed(), clock=clock)

    prober.discover(KEY)

    assert prober._plans == []


async def test_edited_resource_keeps_its_health(cache: Cache, pods: Pods) -> None:
    changed = Changed()
    prober = Prober(cache, on_change=changed, port=pods.port, interval_seconds=600)
    async with running(prober):
        await changed.again()
        cache.put(bot(version=9))
        prober.discover(KEY)

        assert prober.health(KEY) is not None
        assert not prober._pods[KEY].has_changed


async def test_word_of_new_pods_is_awaited_but_not_for_ever(cache: Cache, clock: Clock) -> None:
    prober = Prober(cache, on_change=Changed(), clock=clock)

    prober.nudge(KEY)
    assert prober.unheard(KEY)

    clock.now += UNHEARD_SECONDS
    prober.nudge(KEY)
    assert not prober.unheard(KEY)


async def test_nothing_is_awaited_of_a_resource_without_pods(cache: Cache, clock: Clock) -> None:
    cache.put(endpoint_slice(version=3))
    prober = Prober(cache, on_change=Changed(), clock=clock)

    prober.nudge(KEY)

    assert not prober.unheard(KEY)


async def test_pod_that_does_not_answer_keeps_its_last_word_for_two_polls_more(cache: Cache, pods: Pods) -> None:
    changed = Changed()
    prober = Prober(cache, on_change=changed, port=pods.port, interval_seconds=0.05)
    async with running(prober):
        await changed.again()
        heard = prober.health(KEY)
        pods.asked, pods.answer = 0, failing

        await changed.again()
        health = prober.health(KEY)

    assert heard is not None
    assert list(heard.pods) == ["pod-1"]
    assert pods.asked == 3
    assert health is not None
    assert (health.expected, len(health.pods)) == (1, 0)


async def test_pod_that_stays_silent_is_asked_less_and_less_often(cache: Cache, pods: Pods) -> None:
    add_other(cache, endpoint("silent", "127.0.0.2"))  # where nobody listens
    prober = Prober(cache, on_change=Changed(), port=pods.port, interval_seconds=0.02)

    async with running(prober), asyncio.timeout(20):
        while pods.asked < 40:  # noqa: ASYNC110 (the server has no event of its own)
            await asyncio.sleep(0.01)
        (silent,) = prober._pods[OTHER].last_reports.values()

    assert 3 <= silent.misses <= 15


@pytest.mark.parametrize("answer", [failing, empty])
async def test_pods_from_before_the_start_are_unheard_until_they_answer_or_are_given_up(cache: Cache, pods: Pods, answer: Handler) -> None:
    pods.answer = answer
    changed = Changed()
    prober = Prober(cache, on_change=changed, port=pods.port, interval_seconds=0.05)
    async with running(prober):
        await changed.again()
        assert prober.health(KEY) is not None
        assert prober.unheard(KEY)

        async with asyncio.timeout(10):
            while prober.unheard(KEY):  # noqa: ASYNC110 (being given up is no news)
                await asyncio.sleep(0.01)

    assert pods.asked >= 3


@pytest.mark.usefixtures("settled")
async def test_resource_without_pods_costs_nothing(cache: Cache, pods: Pods) -> None:
    cache.put(endpoint_slice(version=3))
    changed = Changed()
    prober = Prober(cache, on_change=changed, port=pods.port, interval_seconds=600)
    async with running(prober):
        for number in range(3):
            cache.put(endpoint_slice(version=4 + number))
            prober.nudge(KEY)
            await polled(prober)
        health = prober.health(KEY)

    assert changed.keys == []
    assert pods.asked == 0
    assert health is None


async def test_unforeseen_error_of_a_question_is_logged_and_counts_as_no_answer(cache: Cache, pods: Pods) -> None:
    add_other(cache, endpoint("pod-2", f"{64 * 'x'}.example"))  # for which there is no question: the encoding raises
    changed = Changed()
    prober = Prober(cache, on_change=changed, port=pods.port, interval_seconds=0.05)
    with capture_logs() as log:
        async with running(prober), asyncio.timeout(10):
            while pods.asked < 3 or OTHER not in changed.keys:  # noqa: ASYNC110 (the server has no event of its own)
                await asyncio.sleep(0.01)
            health = prober.health(OTHER)

    assert health is not None
    assert (health.expected, len(health.pods)) == (1, 0)
    told = next(entry for entry in log if entry["log_level"] == "error")
    assert told == {
        "event": "question to a pod failed",
        "log_level": "error",
        "exc_info": True,
        "namespace": "team",
        "name": "other",
        "pod_uid": "pod-2",
    }


@pytest.mark.parametrize("broken", ["slice", "listener"])
async def test_unforeseen_error_of_a_poll_is_logged_and_the_others_are_polled_on(cache: Cache, pods: Pods, broken: str) -> None:
    pod = endpoint("pod-2", "127.0.0.2")  # where nobody listens
    add_other(cache, {**pod, "targetRef": "pod-2"} if broken == "slice" else pod)

    def on_change(key: ResourceKey) -> None:
        if key == OTHER:
            raise RuntimeError("nobody foresaw this")

    with capture_logs() as log:
        async with running(Prober(cache, on_change=on_change, port=pods.port, interval_seconds=0.05)), asyncio.timeout(10):
            while pods.asked < 3:  # noqa: ASYNC110 (the server has no event of its own)
                await asyncio.sleep(0.01)

    told = next(entry for entry in log if entry["log_level"] == "error")
    assert told == {"event": "poll failed", "log_level": "error", "exc_info": True, "namespace": "team", "name": "other"}


async def test_resource_that_is_not_ready_is_polled_sooner_while_something_is_wrong_with_a_pod(cache: Cache, pods: Pods) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.json_response(report(state="starting" if pods.asked < 5 else "ready"))

    pods.answer = answer
    changed = Changed()
    prober = Prober(cache, on_change=changed, port=pods.port, interval_seconds=600, prompt_seconds=lambda _key: 0.02)
    async with running(prober), asyncio.timeout(10):
        while len(changed.keys) < 2:  # noqa: ASYNC110 (a list has no event of its own)
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # five times as long as until another question

    assert pods.asked == 5
