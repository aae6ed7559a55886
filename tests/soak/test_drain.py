"""A pod ends under load, as in a cluster: clients hear of it late, and none of them may notice."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.conftest import Simulator
from tests.service.conftest import Service
from tests.soak.conftest import complaints, size, start_unlimited
from tests.soak.load import Answer, Connection, chat, connected, get

pytestmark = pytest.mark.soak

STREAMS = size(quick=60, full=200)
REQUESTS_PER_SECOND = size(quick=50, full=100)
DELAY_SECONDS = 3
TIMEOUT_SECONDS = 4
HEARSAY_SECONDS = 1.0
"""From a pod's unreadiness to the moment when its clients are sent elsewhere."""


class Clients:
    """Many clients with kept-alive connections to one pod, as long as they are sent to it. None asks again where it was cut off."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._idle: list[Connection] = []
        self._in_flight = 0
        self.sent_here = True
        self.answers: list[Answer] = []
        self.failures: list[str] = []

    async def ask(self, request: bytes) -> Answer | None:
        """Return the answer, or None if the pod was not asked or did not answer."""
        connection = self._connection()
        if connection is None:
            return None
        self._in_flight += 1
        try:
            answer = await connection.ask(request)
        except (OSError, EOFError) as error:
            self.failures.append(repr(error))
            connection.close()
            return None
        finally:
            self._in_flight -= 1
        self.answers.append(answer)
        if b"event: error" in answer.body:
            connection.close()
        self._idle.append(connection)
        return answer

    async def keep_asking(self, per_second: int) -> None:
        """Ask at even intervals, whatever becomes of the answers, until the pod is not asked any more."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        async with asyncio.TaskGroup() as group:
            while self.sent_here or self._in_flight or self._idle:
                group.create_task(self.ask(chat()))
                due += 1 / per_second
                await asyncio.sleep(due - loop.time())

    async def hear_of_the_end(self) -> None:
        """Return when nobody is sent to the pod any more."""
        async with connected(self._service.admin_port) as admin:
            while (await admin.ask(get("/health/ready"))).status != 503:  # noqa: ASYNC110  of another process
                await asyncio.sleep(0.02)
        await asyncio.sleep(HEARSAY_SECONDS)
        self.sent_here = False

    def _connection(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.kept:
                return connection
            connection.close()
        return Connection(self._service.port) if self.sent_here else None


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  of another process
            await asyncio.sleep(0.02)


@asynccontextmanager
async def streaming(
    clients: Clients, simulator: Simulator, number: int, **faults: object
) -> AsyncIterator[list[asyncio.Task[Answer | None]]]:
    """Have `number` more streams, all of them open."""
    before = simulator.requests()["open"]
    simulator.behave(**faults)
    streams = [asyncio.create_task(clients.ask(chat(stream=True))) for _ in range(number)]
    await until(lambda: simulator.requests()["open"] == before + number)
    yield streams
    await asyncio.wait(streams)


def ends(streams: list[asyncio.Task[Answer | None]]) -> set[tuple[str, str | None]]:
    """Return the streams' last events: the name, and the code if there is one."""
    events = [answer.body.decode().strip("\n").split("\n\n")[-1].split("\n") for stream in streams if (answer := stream.result())]
    return {(name.removeprefix("event: "), json.loads(data.removeprefix("data: ")).get("code")) for name, data in events}


@pytest.mark.parametrize("_number", range(size(quick=3, full=20)))
async def test_nobody_notices_that_a_pod_ends(simulator: Simulator, _number: int) -> None:
    with start_unlimited(simulator.url, DRAIN_DELAY=f"{DELAY_SECONDS}s", DRAIN_TIMEOUT=f"{TIMEOUT_SECONDS}s") as service:
        clients = Clients(service)
        async with (
            streaming(clients, simulator, STREAMS // 2, pace="500ms", events=1_000) as endless,
            streaming(clients, simulator, STREAMS // 2, pace="100ms", events=20) as short,
        ):
            simulator.behave()
            asking = asyncio.create_task(clients.keep_asking(REQUESTS_PER_SECOND))
            await until(lambda: len(clients.answers) > REQUESTS_PER_SECOND)
            service.process.terminate()
            asked_before = len(clients.answers)

            await clients.hear_of_the_end()
            await asking
            code = await asyncio.to_thread(service.process.wait, DELAY_SECONDS + TIMEOUT_SECONDS + 2)

        assert code == 0
        assert clients.failures == []
        assert {answer.status for answer in clients.answers} == {200}
        assert len(clients.answers) > asked_before + REQUESTS_PER_SECOND / 2
        assert ends(short) == {("done", None)}
        assert ends(endless) == {("error", "shutting_down")}
        assert complaints(service) == []
