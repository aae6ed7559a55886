"""An operator whose API server is not where its requests go: both of its clients, ours and kopf's, find the way."""

import asyncio
import uuid
from pathlib import Path

import pytest

from devcluster.controlplane import ControlPlane
from tests.api.operator_process import Account, Namespace, grant, start_operator
from tests.api.ways import through_a_tunnel, under_a_path

pytestmark = pytest.mark.api


@pytest.fixture(scope="module")
def team(control_plane_with_crd: ControlPlane) -> Namespace:
    namespace = Namespace(control_plane_with_crd, f"ways-{uuid.uuid4().hex[:6]}")
    control_plane_with_crd.kubectl("create", "namespace", namespace.name)
    return namespace


@pytest.fixture(scope="module")
def account(team: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Account:
    return grant(team.plane, team.name, tmp_path_factory.mktemp("account"))


def see_what_is_made(team: Namespace, account: Account, directory: Path, *, name: str) -> None:
    """Start an operator that leads, and make a resource that kopf alone can tell it of: the next list is ten minutes away."""
    with start_operator(account, directory):
        team.apply(name, replicas=0)

        team.wait_for_status(name)


async def test_api_server_under_a_path(team: Namespace, account: Account, tmp_path: Path) -> None:
    async with under_a_path(team.plane, account, tmp_path) as its:
        await asyncio.to_thread(see_what_is_made, team, its, tmp_path, name="under-a-path")


async def test_api_server_behind_a_proxy(team: Namespace, account: Account, tmp_path: Path) -> None:
    async with through_a_tunnel(team.plane, account, tmp_path) as its:
        await asyncio.to_thread(see_what_is_made, team, its, tmp_path, name="behind-a-proxy")
