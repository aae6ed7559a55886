import asyncio
import random
from contextlib import suppress

import pytest

from chatbot_operator import __main__ as command
from chatbot_operator import errors
from chatbot_operator.cluster import Cluster, load_configuration
from chatbot_operator.lease import Elector
from chatbot_operator.resource import Manifest
from chatbot_operator.settings import Settings
from tests.api.operator_process import SERVICE_IMAGE, free_port
from tests.clock import Clock
from tests.sizes import SEED

pytestmark = pytest.mark.api


def elector(cluster: Cluster, clock: Clock, namespace: str, identity: str) -> Elector:
    return Elector(cluster, identity=identity, namespace=namespace, name="chatbot-operator", clock=clock, sleep=clock.sleep)


async def test_candidate_gets_the_lease_when_nobody_holds_it(cluster: Cluster, clock: Clock, namespace: str) -> None:
    first = elector(cluster, clock, namespace, "first")

    assert not first.leads()
    await first.acquire()

    assert first.leads()
    spec = (await cluster.read("Lease", namespace, "chatbot-operator"))["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("first", 15, 0)


async def test_standby_takes_over_only_after_the_duration_without_renewal(cluster: Cluster, clock: Clock, namespace: str) -> None:
    first, second = (elector(cluster, clock, namespace, name) for name in ("first", "second"))
    await first.acquire()
    started = clock.now

    await second.acquire()

    assert clock.now - started >= 15
    assert second.leads()
    assert not first.leads()
    with pytest.raises(errors.LeadershipLost):
        await first.hold()
    assert second.leads()


async def test_released_lease_is_taken_at_once(cluster: Cluster, clock: Clock, namespace: str) -> None:
    first, second = (elector(cluster, clock, namespace, name) for name in ("first", "second"))
    await first.acquire()
    started = clock.now

    await first.release()
    await second.acquire()

    assert clock.now == started
    assert not first.leads()
    assert (await cluster.read("Lease", namespace, "chatbot-operator"))["spec"]["leaseTransitions"] == 1


async def test_lease_is_released_though_a_renewal_was_under_way(
    cluster: Cluster, clock: Clock, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (elector(cluster, clock, namespace, name) for name in ("first", "second"))
    await first.acquire()
    replace, committed = cluster.replace, asyncio.Event()

    async def replace_without_an_answer(manifest: Manifest) -> Manifest:
        answer = await replace(manifest)
        committed.set()
        await asyncio.Event().wait()
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(cluster, "replace", replace_without_an_answer)
        holding = asyncio.create_task(first.hold())
        await committed.wait()
        holding.cancel()
        await asyncio.wait({holding})
    started = clock.now
    await first.release()
    await second.acquire()

    assert clock.now == started


async def test_lease_that_another_one_holds_by_now_is_not_released(cluster: Cluster, clock: Clock, namespace: str) -> None:
    first, second = (elector(cluster, clock, namespace, name) for name in ("first", "second"))
    await first.acquire()
    await second.acquire()

    await first.release()

    assert await second._try_to_renew()


async def test_lease_is_released_when_the_work_ends_with_an_error(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lead_and_break(operator: command.Operator, _stop: asyncio.Event) -> None:
        await operator.elector.acquire()
        raise RuntimeError("a defect")

    monkeypatch.setattr(command.Operator, "run", lead_and_break)
    settings = Settings(service_image=SERVICE_IMAGE, namespace=namespace, http_host="127.0.0.1", http_port=free_port())

    with pytest.raises(RuntimeError, match="a defect"):
        await command.run(settings)

    assert (await cluster.read("Lease", namespace, settings.lease_name))["spec"].get("holderIdentity", "") == ""


async def test_deleted_lease_is_not_taken_while_its_holder_may_lead(cluster: Cluster, clock: Clock, namespace: str) -> None:
    first, second = (elector(cluster, clock, namespace, name) for name in ("first", "second"))
    await first.acquire()
    assert not await second._try_to_lead()
    clock.now += 9
    await delete_lease(cluster, namespace)

    assert not await second._try_to_lead()
    assert first.leads()
    await second.acquire()

    assert not first.leads()


async def test_leader_restores_its_deleted_lease(cluster: Cluster, clock: Clock, namespace: str) -> None:
    first, second = (elector(cluster, clock, namespace, name) for name in ("first", "second"))
    await first.acquire()
    await second._try_to_lead()
    await delete_lease(cluster, namespace)

    assert await first._try_to_renew()

    assert first.leads()
    assert not await second._try_to_lead()


async def test_leader_that_cannot_renew_stops_before_another_one_may_start(cluster: Cluster, clock: Clock, namespace: str) -> None:
    first = elector(cluster, clock, namespace, "first")
    await first.acquire()
    started = clock.now

    first._cluster = await unreachable()
    with pytest.raises(errors.LeadershipLost):
        await first.hold()

    assert clock.now - started < 15
    await first._cluster.close()


async def test_leader_whose_answer_was_lost_goes_on(cluster: Cluster, clock: Clock, namespace: str) -> None:
    first = elector(cluster, clock, namespace, "first")
    await first.acquire()
    lease = await cluster.read("Lease", namespace, "chatbot-operator")
    lease["spec"]["renewTime"] = "2026-01-01T00:00:00.000000Z"
    await cluster.replace(lease)  # as the leader's own write would have done

    assert not await first._try_to_renew()
    assert first.leads()
    assert await first._try_to_renew()


async def test_never_two_leaders_in_any_order_of_steps_and_failures(cluster: Cluster, clock: Clock, namespace: str) -> None:
    chance = random.Random(SEED)
    cut_off = await unreachable()
    electors = [elector(cluster, clock, namespace, f"candidate-{number}") for number in range(3)]
    led = set()
    for candidate in electors:
        await candidate._try_to_lead()

    for _ in range(400):
        clock.now += chance.choice([0.1, 1.0, 3.0, 6.0])
        if chance.random() < 0.1 and all(each._lease for each in electors):  # not again before everybody saw it come back
            await delete_lease(cluster, namespace)
        candidate = chance.choice(electors)
        candidate._cluster = cut_off if chance.random() < 0.3 else cluster
        if candidate.leads():
            await candidate._try_to_renew()
        else:
            candidate._renewed_at = None
            await candidate._try_to_lead()
        leaders = [number for number, each in enumerate(electors) if each.leads()]
        assert len(leaders) <= 1, f"SEED={SEED}"
        led.update(leaders)

    assert len(led) > 1, f"SEED={SEED}"
    await cut_off.close()


async def delete_lease(cluster: Cluster, namespace: str) -> None:
    with suppress(errors.ObjectNotFound):
        await cluster.delete(await cluster.read("Lease", namespace, "chatbot-operator"))


async def unreachable() -> Cluster:
    configuration = await load_configuration()
    configuration.host = "https://127.0.0.1:1"
    return Cluster(configuration)
