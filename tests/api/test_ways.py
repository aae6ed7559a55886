"""An operator whose API server is not where its requests go: both of its clients, ours and kopf's, find the way."""

import asyncio
from pathlib import Path

import pytest

from tests.api.operator_process import Account, Namespace, start_operator
from tests.api.ways import through_a_tunnel, under_a_path

pytestmark = pytest.mark.api


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
