"""An operator that is killed again and again while users never stop: nothing is lost, nothing is there twice, nothing is left behind."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import pytest

from chatbot_operator.resource import KIND, Manifest
from tests.faults.apiserver import Team, deviations, is_observed
from tests.faults.conftest import SEED, new_name, size
from tests.faults.proxy import Fault, Trap
from tests.faults.supervised import Supervised
from tests.waiting import wait_until

pytestmark = pytest.mark.faults

KILLS = size(quick=20, full=200)
RETURNING = [f"bot-{number}" for number in range(5)]
"""Names that are given again as soon as a resource is deleted."""
GUARDED = 3
"""Further resources, which may have a client's token: each name is given once.

That a token is an earlier resource's of that name only pods tell, and none is polled here.
"""
PACE_SECONDS = 0.1
MAX_WRITES_BEFORE_A_KILL = 12
REPAIRED_SECONDS = 180


class Users:
    """Create, change, scale and delete resources, drawing what to do."""

    def __init__(self, team: Team, chance: random.Random) -> None:
        self._team = team
        self._chance = chance
        self._guarded = [new_name("guarded") for _ in range(GUARDED)]

    def step(self) -> None:
        """Do one thing."""
        name = self._chance.choice([*RETURNING, *self._guarded])
        if self._chance.random() >= 0.2:
            self._team.apply(name, self._draw(guarded=name in self._guarded))
            return
        self._team.delete(KIND, name)
        if name in self._guarded:
            self._guarded[self._guarded.index(name)] = new_name("guarded")

    def _draw(self, *, guarded: bool) -> Manifest:
        chance = self._chance
        spec: Manifest = {"replicas": chance.randrange(4), "image": f"chat:{chance.randrange(3)}"}
        if chance.random() < 0.5:
            spec["systemPrompt"] = f"Answer in {chance.randrange(100)} words."
        if chance.random() < 0.5:
            spec["ingress"] = {"host": f"chat-{chance.randrange(3)}.example.com"}
        if guarded and chance.random() < 0.7:
            spec["clientAuth"] = {"mode": "Token"}
        return spec


@contextmanager
def churn(users: Users) -> Iterator[None]:
    """Let users do one thing after the other as long as the block lasts."""
    over = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while not over.wait(PACE_SECONDS):
                users.step()
        except Exception as error:  # noqa: BLE001 (raised where the test sees it)
            failures.append(error)

    thread = threading.Thread(target=work, name="churn")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert failures == []


def defects(supervisor: Supervised) -> list[str]:
    """Return what is lost, wrong, there twice or left behind in the namespace."""
    children = supervisor.team.children()
    resources: list[Manifest] = supervisor.team.call("GET", supervisor.team.path(KIND))["items"]
    found = []
    for resource in resources:
        name = resource["metadata"]["name"]
        supervisor.team.make_pods_ready(name)
        if not is_observed(resource):
            found.append(f"{name}: its status does not speak of its newest generation")
        mine = children.pop(resource["metadata"]["uid"], [])
        found += [f"{name}: {deviation}" for deviation in deviations(resource, mine, settings=supervisor.settings)]
    orphans = [f"{child['kind']} {child['metadata']['name']}" for left in children.values() for child in left]
    return found + [f"{orphan} is left behind" for orphan in orphans]


def test_kills_lose_nothing_double_nothing_and_leave_nothing_behind(supervisor: Supervised) -> None:
    chance = random.Random(SEED)

    with churn(Users(supervisor.team, random.Random(SEED + 1))):
        for number in range(KILLS):
            fault = chance.choice([Fault.KILLED_BEFORE, Fault.KILLED_AFTER])
            trap = supervisor.proxy.set(Trap(fault, skip=chance.randrange(MAX_WRITES_BEFORE_A_KILL)))
            assert trap.sprung.wait(timeout=REPAIRED_SECONDS), f"SEED={SEED}: nothing was written before kill {number}"
            supervisor.start(wait=False)

    wait_until(lambda: defects(supervisor), lambda found: not found, seconds=REPAIRED_SECONDS)
    assert supervisor.operator is not None
    supervisor.operator.wait_until_idle()
    assert defects(supervisor) == []
    made = Counter((call.resource, call.name) for call, status in supervisor.proxy.written if status == HTTPStatus.CREATED)
    assert {resource for resource, _ in made} >= {"ingresses", "secrets"}
    assert {number for (resource, _), number in made.items() if resource == "secrets"} == {1}
