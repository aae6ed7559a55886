"""The Compose files say nothing that one of the engines refuses; only docker-compose 1.29 is here to ask: tests/deploy/test_compose*.py."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.pages import blocks

ROOT = Path(__file__).resolve().parents[2]
FILES = ("docker-compose.yml", "deploy/docker-compose.prod.yml")


def service_of(file: Path, name: str) -> dict[str, Any]:
    """Return a service with the keys of the one that it extends."""
    service: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))["services"][name]
    base = service.pop("extends", None)
    return service_of(file.parent / base["file"], base["service"]) | service if base else service


SERVICES = [(file, name) for file in FILES for name in yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["services"]]


@pytest.mark.parametrize(("file", "name"), SERVICES)
def test_no_limit_is_said_in_both_ways(file: str, name: str) -> None:
    """Docker Compose 2 refuses `pids_limit` beside `deploy.resources.limits` without `pids`, which docker-compose 1.29 refuses there."""
    service = service_of(ROOT / file, name)

    assert service["pids_limit"] == 128
    assert "deploy" not in service


def test_limits_and_reservations_of_production() -> None:
    service = service_of(ROOT / "deploy/docker-compose.prod.yml", "chatbot")

    assert (service["cpus"], service["mem_limit"]) == (1, "512M")
    assert (service["cpu_shares"], service["mem_reservation"]) == (256, "128M")


def test_the_settings_are_beside_the_production_file_too() -> None:
    """Docker-compose 1.29 takes what it puts into a file from the `.env` beside the first file that it is given."""
    assert (ROOT / "deploy/.env").readlink() == Path("../.env")


def test_the_folders_that_are_mounted_for_keys_and_tokens_are_in_no_commit() -> None:
    """Not asked of git, which the build need not have."""
    (override,) = (yaml.safe_load(block.text) for block in blocks(ROOT / "docs/compose.md") if block.language == "yaml")
    (own,) = (volume.partition(":")[0] for volume in override["services"]["chatbot"]["volumes"])
    (production,) = service_of(ROOT / "deploy/docker-compose.prod.yml", "chatbot")["volumes"]
    folders = [ROOT / own, (ROOT / "deploy" / production["source"]).resolve()]
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()

    assert {".env", "/docker-compose.override.yml"} <= set(ignored)
    assert [folder for folder in folders if f"/{folder.relative_to(ROOT)}/" not in ignored] == []
