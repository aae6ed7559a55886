"""Two replicas of the operator, each a user of its own, so that the audit log tells who wrote: never both, and somebody soon again."""

import json
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from chatbot_operator.settings import Settings
from devcluster.controlplane import ControlPlane
from tests.api.operator_process import SERVICE_IMAGE, Account, OperatorProcess, grant, start_operator
from tests.faults.apiserver import Team
from tests.faults.audit import Write, writes
from tests.faults.conftest import SEED, new_name
from tests.faults.freezing import frozen
from tests.waiting import wait_until

pytestmark = pytest.mark.faults

GRACEFUL_SECONDS = 5
KILLED_SECONDS = 20
LEASE_SECONDS = Settings(service_image=SERVICE_IMAGE).lease_duration_seconds
SHORT_LEASE_SECONDS = 6
PACE_SECONDS = 0.2


@pytest.fixture
def team(plane: ControlPlane) -> Iterator[Team]:
    name = new_name("two")
    plane.kubectl("create", "namespace", name)
    yield Team(plane, name)
    plane.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def accounts(team: Team, tmp_path: Path) -> tuple[Account, Account]:
    """Two users with the rights of one service account, who compete for one Lease."""
    first = grant(team.plane, team.namespace, tmp_path)
    user = f"{first.user}-2"
    kubeconfig = team.plane.write_kubeconfig(tmp_path / "second.kubeconfig", user=user, groups=("system:serviceaccounts",))
    subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}
    for kind, role in (("ClusterRoleBinding", "ClusterRole"), ("RoleBinding", "Role")):
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": f"{first.lease}-2", "namespace": team.namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": first.lease},
            "subjects": [subject],
        }
        team.plane.kubectl("create", "--filename=-", input=json.dumps(binding))
    return first, replace(first, user=user, kubeconfig=kubeconfig)


@pytest.fixture
def churn(team: Team) -> Iterator[None]:
    """Change resources all the time, so that whoever leads has something to write."""
    over, chance = threading.Event(), random.Random(SEED)

    def work() -> None:
        while not over.wait(PACE_SECONDS):
            team.apply(f"bot-{chance.randrange(4)}", {"replicas": 0, "image": f"chat:{chance.randrange(1000)}"})

    thread = threading.Thread(target=work, name="churn")
    thread.start()
    yield
    over.set()
    thread.join()


@contextmanager
def pair(
    accounts: tuple[Account, Account], directory: Path, *, lease_seconds: int = LEASE_SECONDS
) -> Iterator[tuple[OperatorProcess, OperatorProcess]]:
    """Run a leader and a standby."""
    leader, standby = accounts
    duration = str(lease_seconds)
    with (
        start_operator(leader, directory, OPERATOR_LEASE_DURATION_SECONDS=duration) as first,
        start_operator(standby, directory, wait=False, OPERATOR_LEASE_DURATION_SECONDS=duration) as second,
    ):
        second.wait_until_ready()
        assert first.leads()
        assert not second.leads()
        yield first, second


def seconds_until_written(team: Team, account: Account) -> float:
    """Return how long it takes from now until the account writes."""
    started, before = time.monotonic(), len(writes(team.plane, account.user))
    wait_until(lambda: len(writes(team.plane, account.user)), lambda count: count > before, seconds=2 * KILLED_SECONDS)
    return time.monotonic() - started


def terms(team: Team, accounts: tuple[Account, Account]) -> list[list[Write]]:
    """Return the writes of both in order, one list for each uninterrupted reign."""
    found: list[list[Write]] = []
    for write in writes(team.plane, *(account.user for account in accounts)):
        if not found or found[-1][-1].user != write.user:
            found.append([])
        found[-1].append(write)
    return found


def assert_one_writer_at_a_time(team: Team, accounts: tuple[Account, Account], *, reigns: int) -> None:
    found = terms(team, accounts)
    assert len(found) == reigns
    for before, after in pairwise(found):
        assert max(write.ended for write in before) <= after[0].began


@pytest.mark.usefixtures("churn")
@pytest.mark.parametrize(
    ("number", "limit_seconds"), [(signal.SIGTERM, GRACEFUL_SECONDS), (signal.SIGKILL, KILLED_SECONDS)], ids=["told to end", "killed"]
)
def test_standby_writes_soon_after_the_leader_ended(
    team: Team, accounts: tuple[Account, Account], tmp_path: Path, number: signal.Signals, limit_seconds: float
) -> None:
    with pair(accounts, tmp_path) as (leader, _standby):
        wait_until(lambda: writes(team.plane, accounts[0].user))

        leader.process.send_signal(number)
        seconds = seconds_until_written(team, accounts[1])

        leader.process.wait(timeout=10)
    assert seconds < limit_seconds
    assert_one_writer_at_a_time(team, accounts, reigns=2)


@pytest.mark.usefixtures("churn")
def test_leader_that_stood_still_writes_nothing_when_it_goes_on(team: Team, accounts: tuple[Account, Account], tmp_path: Path) -> None:
    with pair(accounts, tmp_path, lease_seconds=SHORT_LEASE_SECONDS) as (leader, standby):
        wait_until(lambda: writes(team.plane, accounts[0].user))

        with frozen(leader.process.pid):
            wait_until(standby.leads, seconds=KILLED_SECONDS)
            seconds_until_written(team, accounts[1])
        wait_until(lambda: leader.logged("leadership lost, standing by"))
        seconds_until_written(team, accounts[1])

        assert not leader.leads()
        assert_one_writer_at_a_time(team, accounts, reigns=2)  # here: it takes over again when the standby is ended
