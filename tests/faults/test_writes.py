"""Every write of an operator, broken in every way that a write can be: in the end everything is as if nothing had happened.

A cell is a scenario, one of its writes and a fault. CI tests a sample that has every fault and nearly every write in it.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from chatbot_operator.resource import KIND, Manifest
from tests.faults.apiserver import Team, is_settled
from tests.faults.conftest import SEED, SOAK, new_name
from tests.faults.proxy import Fault, Trap
from tests.faults.supervised import Supervised
from tests.waiting import wait_until

pytestmark = pytest.mark.faults

ENVIRONMENT = {"OPERATOR_REQUEST_TIMEOUT_SECONDS": "2"}
CELLS_IN_CI = 20
SETTLED_SECONDS = 180

SPEC: dict[str, Any] = {"replicas": 2, "image": "chat:1", "systemPrompt": "Be brief.", "rollout": {"minReadySeconds": 0}}
REACHABLE = {**SPEC, "ingress": {"host": "chat.example.com"}, "clientAuth": {"mode": "Token"}}
UPDATED = {**SPEC, "systemPrompt": "Be kind.", "model": {"maxTokens": 2048}, "service": {"annotations": {"example.com/a": "b"}}}
ROTATED = {**SPEC, "image": "chat:2"}
SHRUNK = {key: value for key, value in SPEC.items() if key != "systemPrompt"} | {"replicas": 1}

Write = tuple[str, str]
DEPLOYMENT: Write = ("PATCH", "deployments")
STATUS: Write = ("PATCH", "chatbotdeployments/status")
CREATION: tuple[Write, ...] = (
    ("PATCH", "serviceaccounts"),
    ("PATCH", "configmaps"),
    ("PATCH", "services"),
    ("PATCH", "networkpolicies"),
    DEPLOYMENT,
    ("PATCH", "poddisruptionbudgets"),
    STATUS,
)


@dataclass(frozen=True)
class Scenario:
    """What a user does to a resource, and every kind of write by which the operator follows."""

    start: Manifest | None
    act: Callable[[Team, str], object]
    writes: tuple[Write, ...]


def apply(spec: Manifest, team: Team, name: str) -> None:
    team.apply(name, spec)


def replace(team: Team, name: str) -> None:
    """Delete the resource and create it again before its children are gone."""
    team.delete(KIND, name)
    team.apply(name, SPEC)


SCENARIOS = {
    "create": Scenario(None, partial(apply, REACHABLE), (*CREATION, ("PATCH", "ingresses"), ("POST", "secrets"))),
    "update": Scenario(SPEC, partial(apply, UPDATED), (("PATCH", "configmaps"), ("PATCH", "services"), DEPLOYMENT, STATUS)),
    "scale": Scenario(SPEC, lambda team, name: team.scale(name, 3), (DEPLOYMENT, STATUS)),
    "rotate-image": Scenario(SPEC, partial(apply, ROTATED), (DEPLOYMENT, STATUS)),
    "shrink": Scenario(
        SPEC | {"ingress": REACHABLE["ingress"]},
        partial(apply, SHRUNK),
        (DEPLOYMENT, ("DELETE", "configmaps"), ("DELETE", "ingresses"), ("DELETE", "poddisruptionbudgets"), STATUS),
    ),
    "delete": Scenario(SPEC, replace, CREATION),
}


@dataclass(frozen=True)
class Cell:
    """One thing that goes wrong."""

    scenario: str
    write: Write
    fault: Fault

    def __str__(self) -> str:
        return f"{self.scenario}-{self.write[0]}-{self.write[1]}-{self.fault}"


WRITES = [(name, write) for name, scenario in SCENARIOS.items() for write in scenario.writes]
ALL_CELLS = [Cell(name, write, fault) for name, write in WRITES for fault in Fault]
QUOTA_CONFLICT = Cell("create", ("POST", "secrets"), Fault.CONFLICT)
"""A conflict with something else than the object, which is not there: a quota that others write at the moment."""
BEGUN_AT_ONCE = 20


def sample() -> list[Cell]:
    """Draw cells of different writes that have every fault among them, in the order of all cells."""
    chance = random.Random(SEED)
    faults = chance.sample(list(Fault), len(Fault))
    writes = chance.sample(WRITES, CELLS_IN_CI)
    drawn = [Cell(scenario, write, faults[index % len(faults)]) for index, (scenario, write) in enumerate(writes)]
    return sorted({*drawn, QUOTA_CONFLICT}, key=ALL_CELLS.index)


CELLS = ALL_CELLS if SOAK else sample()


@dataclass
class EndStates:
    """What resources have become, and what each scenario makes of one when nothing goes wrong."""

    supervisor: Supervised
    unfaulted: dict[str, Manifest] = field(default_factory=dict)
    writes: dict[str, set[Write]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def begin(self, *scenarios: str) -> list[str]:
        """Return the names of resources, each as it is before one of the scenarios."""
        names = [new_name("cell") for _ in scenarios]
        starts = {name: start for name, scenario in zip(names, scenarios, strict=True) if (start := SCENARIOS[scenario].start)}
        for name, start in starts.items():
            self.supervisor.team.apply(name, start)
        for name in starts:
            self.wait_until_settled(name)
        return names

    def wait_until_settled(self, name: str) -> None:
        """Return when the operator says that all is done."""
        wait_until(lambda: self.supervisor.team.look(name), is_settled, seconds=SETTLED_SECONDS)

    def see(self, *scenarios: str) -> None:
        """Carry out scenarios without a fault, all at a time, which takes as long as one."""
        names = dict(zip(scenarios, self.begin(*scenarios), strict=True))
        before = len(self.supervisor.proxy.written)
        for scenario, name in names.items():
            SCENARIOS[scenario].act(self.supervisor.team, name)
        for scenario, name in names.items():
            self.wait_until_settled(name)
            # The status is the last to be written; it is seen in the API server before the proxy has its answer.
            self.writes[scenario] = wait_until(partial(self.written, name, since=before), lambda written: STATUS in written)
            self.unfaulted[scenario] = self.supervisor.team.end_state(name)
            self.names[name] = scenario

    def written(self, name: str, *, since: int) -> set[Write]:
        """Return what was written of a resource after the first `since` writes."""
        return {(call.method, call.resource) for call, _ in self.supervisor.proxy.written[since:] if call.name.startswith(name)}

    def wait_until_reached(self, scenario: str, name: str) -> None:
        """Return when the resource has become what it becomes without a fault; fail with the difference."""
        expected = self.unfaulted[scenario]
        self.names[name] = scenario
        self.wait_until_settled(name)
        end = time.monotonic() + SETTLED_SECONDS
        while self.supervisor.team.end_state(name) != expected and time.monotonic() < end:
            time.sleep(0.1)
        assert self.supervisor.team.end_state(name) == expected


@pytest.fixture(scope="module")
def end_states(supervisor: Supervised) -> EndStates:
    states = EndStates(supervisor)
    states.see(*SCENARIOS)
    return states


def selected(session: pytest.Session) -> Iterator[Cell]:
    """Yield the cells whose tests will run."""
    for item in session.items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            yield from (value for value in item.callspec.params.values() if isinstance(value, Cell))


@pytest.fixture(scope="module")
def names(end_states: EndStates, request: pytest.FixtureRequest) -> dict[Cell, str]:
    """A resource for each cell that is tested, as it is before the scenario; made many at a time, which takes as long as one."""
    tested = list(selected(request.session))
    found: dict[Cell, str] = {}
    for first in range(0, len(tested), BEGUN_AT_ONCE):
        cells = tested[first : first + BEGUN_AT_ONCE]
        found |= zip(cells, end_states.begin(*(cell.scenario for cell in cells)), strict=True)
    return found


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_writes_of_each_scenario_are_those_that_are_broken_here(end_states: EndStates, scenario: str) -> None:
    assert end_states.writes[scenario] == set(SCENARIOS[scenario].writes)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_broken_write_changes_nothing_in_the_end(end_states: EndStates, names: dict[Cell, str], supervisor: Supervised, cell: Cell) -> None:
    name = names[cell]
    trap = supervisor.proxy.set(Trap(cell.fault, *cell.write, name=name))

    def is_reached() -> bool:
        supervisor.team.make_pods_ready(name)  # what they may mount is deleted only then
        return trap.sprung.wait(timeout=0.1)

    SCENARIOS[cell.scenario].act(supervisor.team, name)

    wait_until(is_reached, seconds=SETTLED_SECONDS)
    if cell.fault in (Fault.KILLED_BEFORE, Fault.KILLED_AFTER):
        supervisor.start()
    end_states.wait_until_reached(cell.scenario, name)


def test_restart_after_all_that_writes_nothing(end_states: EndStates, supervisor: Supervised) -> None:
    before = list(supervisor.proxy.written)

    supervisor.restart().wait_until_idle()

    assert supervisor.proxy.written == before
    for name, scenario in end_states.names.items():
        assert supervisor.team.end_state(name) == end_states.unfaulted[scenario], scenario
