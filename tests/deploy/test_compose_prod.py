"""`docker-compose -f deploy/docker-compose.prod.yml up -d` on a real engine: limits that hold, and a key that comes by file alone."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster.processes import wait_until
from tests.deploy.conftest import CHATBOT, ROOT, SIMULATOR, block_run_by
from tests.deploy.engine import Engine

pytestmark = pytest.mark.images

PRODUCTION = ("docker-compose", "-f", "deploy/docker-compose.prod.yml")
MODULE, PAGE = "tests/deploy/test_compose_prod.py", "docs/compose.md"
KEY, NEW_KEY = "sk-ant-of-the-test", "sk-ant-that-follows"
OWN_LINE = "# A line of the developer's own.\n"
ROTATION_SECONDS = 30.0
UNTIL_IT_LISTENS = ("--retry", "60", "--retry-delay", "1", "--retry-all-errors")
# No test can reach Anthropic's API: one more file puts the simulator in its place, and makes the end quick.
ELSEWHERE: dict[str, Any] = {
    "services": {
        "chatbot": {"environment": {"ANTHROPIC_BASE_URL": "http://simulator:8000", "DRAIN_DELAY": "0s"}},
        "simulator": {"image": f"{SIMULATOR}:latest"},
    }
}
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def configured(engine: Engine, checkout: Path) -> Path:
    """The checkout with a fresh copy of the settings, which name the simulator."""
    engine.run("cp", ".env.example", ".env", cwd=checkout)
    with (checkout / ".env").open("a") as settings:
        settings.write(OWN_LINE)
    (checkout / "elsewhere.yml").write_text(yaml.safe_dump(ELSEWHERE))
    return checkout


@pytest.fixture(scope="module")
def started(engine: Engine, configured: Path) -> Iterator[str]:
    """What the page's block prints that waits for the service: as in production but for its upstream, with a key for it and root alone."""
    engine.run("install", "--directory", "--owner=1001", "--mode=0700", "secrets", cwd=configured)
    write_key(engine, configured, KEY)
    engine.run(*PRODUCTION, "-f", "elsewhere.yml", "up", "-d", cwd=configured)
    yield engine.paste(block_run_by(f"{MODULE}::test_it_answers_with_the_key_of_the_file", page=PAGE), cwd=configured)
    engine.run(*PRODUCTION, "-f", "elsewhere.yml", "down", "--timeout=1", cwd=configured)


@pytest.fixture(scope="module")
def running(engine: Engine, started: str) -> Engine:
    """The engine, with that service in it."""
    return engine


def write_key(engine: Engine, checkout: Path, key: str) -> None:
    """Type a key as the head of the Compose file says."""
    engine.run("sh", "-euc", f"echo {key} | install --owner=1001 --mode=0400 /dev/stdin secrets/anthropic-api-key", cwd=checkout)


def credentials(engine: Engine) -> dict[str, Any]:
    """Return what the service tells the operator of its key."""
    told: dict[str, Any] = json.loads(engine.curl("http://127.0.0.1:9090/report"))["credentials"]
    return told


def test_without_the_folder_of_the_key_it_does_not_start_and_says_which(engine: Engine, configured: Path) -> None:
    refused = engine.run(*PRODUCTION, "up", "-d", cwd=configured, check=False)
    engine.run(*PRODUCTION, "down", cwd=configured)

    assert refused.returncode != 0
    assert f"bind source path does not exist: {configured}/secrets" in refused.stdout + refused.stderr


@pytest.fixture
def as_written(engine: Engine, configured: Path) -> Iterator[Engine]:
    """The engine, with what the page's block for production starts, and nothing else."""
    test = "test_as_written_it_runs_within_its_limits_though_nobody_reaches_anthropic_here"
    engine.paste(block_run_by(f"{MODULE}::{test}", page=PAGE), cwd=configured, stdin=f"{KEY}\n")
    yield engine
    engine.run(*PRODUCTION, "down", "--timeout=1", cwd=configured)


def test_as_written_it_runs_within_its_limits_though_nobody_reaches_anthropic_here(as_written: Engine, configured: Path) -> None:
    live = as_written.curl(*UNTIL_IT_LISTENS, "http://127.0.0.1:8080/health/live")
    wait_until(lambda: credentials(as_written)["fingerprintChangedAt"] is not None, what="the key", timeout_seconds=ROTATION_SECONDS)
    limits = as_written.inspect(CHATBOT)["HostConfig"]

    assert json.loads(live)["status"] == "healthy"
    assert credentials(as_written)["state"] == "Unverified"
    assert (limits["NanoCpus"], limits["Memory"], limits["ReadonlyRootfs"]) == (1_000_000_000, 512 * MEBIBYTE, True)
    assert (configured / ".env").read_text().endswith(OWN_LINE)


def test_it_asks_anthropic_whatever_the_settings_say_of_the_simulator(engine: Engine, configured: Path) -> None:
    config = yaml.safe_load(engine.run(*PRODUCTION, "config", cwd=configured).stdout)
    environment = config["services"]["chatbot"]["environment"]

    assert "ANTHROPIC_BASE_URL=http://simulator:8000" in (configured / ".env").read_text()
    assert environment["ANTHROPIC_BASE_URL"] == "https://api.anthropic.com"
    assert environment["ANTHROPIC_API_KEY"] == ""
    assert set(config["services"]) == {"chatbot"}


def test_what_the_settings_say_of_ports_and_images_holds(engine: Engine, checkout: Path, tmp_path: Path) -> None:
    shutil.copytree(checkout, tmp_path, symlinks=True, dirs_exist_ok=True)
    (tmp_path / ".env").write_text("PORT=9000\nBIND_ADDRESS=192.0.2.1\nIMAGE_PREFIX=registry.example.com/chatbots/\nVERSION=v1.2.3\n")

    config = yaml.safe_load(engine.run(*PRODUCTION, "config", cwd=tmp_path).stdout)
    service = config["services"]["chatbot"]

    assert service["image"] == f"registry.example.com/chatbots/{CHATBOT}:v1.2.3"
    assert "192.0.2.1:9000:8080/tcp" in service["ports"]
    assert service["environment"]["VERSION"] == ""


def test_it_answers_with_the_key_of_the_file(running: Engine, started: str) -> None:
    assert json.loads(started)["status"] == "healthy"
    assert running.chat()["message"]
    assert credentials(running)["state"] == "Accepted"


def test_the_key_is_in_nothing_that_docker_tells(running: Engine) -> None:
    assert KEY not in json.dumps(running.inspect(CHATBOT))
    assert KEY not in running.run("docker", "logs", CHATBOT).stdout


def test_another_key_file_is_taken_up_without_a_restart(running: Engine, configured: Path) -> None:
    began = running.inspect(CHATBOT)["State"]["StartedAt"]

    write_key(running, configured, NEW_KEY)

    wait_until(lambda: "api key swapped" in running.docker("logs", CHATBOT), what="the new key", timeout_seconds=ROTATION_SECONDS)
    assert credentials(running)["state"] == "Accepted"
    assert running.inspect(CHATBOT)["State"]["StartedAt"] == began


def test_a_file_beside_the_key_is_where_the_page_says(running: Engine, configured: Path) -> None:
    said = (ROOT / PAGE).read_text(encoding="utf-8")
    (here, there) = re.findall(r"`(secrets/\S+)`, readable by UID 1001, is `(\S+)` there", said)[0]

    running.run("install", "--owner=1001", "--mode=0400", "/dev/stdin", here, cwd=configured, stdin="Be brief.")

    assert running.python(CHATBOT, f"print(open({there!r}).read())") == "Be brief."


def test_one_cpu_and_512_mebibytes_are_the_most_it_gets(running: Engine) -> None:
    limits = running.inspect(CHATBOT)["HostConfig"]

    assert (limits["NanoCpus"], limits["Memory"]) == (1_000_000_000, 512 * MEBIBYTE)
    assert (limits["CpuShares"], limits["MemoryReservation"]) == (1024 // 4, 128 * MEBIBYTE)
    assert limits["PidsLimit"] == 128


def test_docker_stats_shows_the_limit(running: Engine) -> None:
    assert running.docker("stats", "--no-stream", "--format={{.MemUsage}}", CHATBOT).strip().endswith(" / 512MiB")


def test_it_is_locked_up_as_in_development(running: Engine) -> None:
    container = running.inspect(CHATBOT)
    host, config = container["HostConfig"], container["Config"]

    assert (config["User"], host["ReadonlyRootfs"], host["CapDrop"]) == ("1001:1001", True, ["ALL"])
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "5"}
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert container["Mounts"][0]["RW"] is False


def test_it_ends_in_order_when_it_is_stopped(running: Engine, configured: Path) -> None:
    running.run(*PRODUCTION, "-f", "elsewhere.yml", "stop", "chatbot", cwd=configured)

    assert running.inspect(CHATBOT)["State"]["ExitCode"] == 0
