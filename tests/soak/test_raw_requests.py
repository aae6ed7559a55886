"""Bytes on sockets that no HTTP library would send, thousands a second: nothing of it is an error of the service's own."""

import asyncio
import collections

import pytest

from tests.conftest import Simulator
from tests.service.conftest import Service
from tests.soak.conftest import SEED, size
from tests.soak.grammar import draw_attack
from tests.soak.rawclient import Attacker, Outcome

pytestmark = pytest.mark.soak

ATTACKS = size(quick=20_000, full=80_000)
CONNECTIONS = 100


async def test_no_bytes_make_the_service_fail_or_hang(attacked: Service, simulator: Simulator) -> None:
    simulator.behave(first_token_delay="2ms", pace="1ms", events=5)  # answers take a while: more comes in behind and between them

    outcomes = await attack(attacked.port)

    bad = {index: found for index, outcome in outcomes.items() if (found := defect(outcome))}
    assert not bad, summary(bad)
    statuses = collections.Counter(status for outcome in outcomes.values() for status in outcome.statuses)
    assert {200, 400, 404, 405, 413, 415, 422} <= statuses.keys(), f"SEED={SEED} reached too little: {statuses}"


def summary(bad: dict[int, str]) -> str:
    """Return each kind of defect with its number and its shortest attack."""
    sent = {index: b"|".join(draw_attack(SEED, index).pieces) for index in bad}
    lines = [f"SEED={SEED}: {len(bad)} of {ATTACKS} attacks"]
    for kind, number in collections.Counter(bad.values()).most_common(5):
        index = min((index for index, found in bad.items() if found == kind), key=lambda index: len(sent[index]))
        lines.append(f"{number} times {kind}, for example number {index}: {sent[index][:1_000]!r}")
    return "\n".join(lines)


def defect(outcome: Outcome) -> str | None:
    refused = [status for status in outcome.statuses if status >= 500]
    return outcome.defect or (f"status {refused[0]}" if refused else None)


async def attack(port: int) -> dict[int, Outcome]:
    loop = asyncio.get_running_loop()
    indexes = iter(range(ATTACKS))
    outcomes: dict[int, Outcome] = {}

    async def work() -> None:
        for index in indexes:
            _, attacker = await loop.create_connection(lambda: Attacker(draw_attack(SEED, index)), "127.0.0.1", port)  # noqa: B023  called at once
            outcomes[index] = await attacker.done

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(work())
    return outcomes
