"""`docker-compose up -d` with a fresh copy of `.env.example`, on a real engine: it answers without a key, as locked up as a pod."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from devcluster.processes import wait_until
from scripts.images import version
from tests.deploy.conftest import CHATBOT, ROOT, SIMULATOR, block_run_by
from tests.deploy.engine import PYTHON, Engine, control_groups
from tests.docs.pages import blocks

pytestmark = pytest.mark.images

FRESH_COPY = "tests/deploy/test_compose.py::test_a_fresh_copy_answers_without_a_key"
HEALTHY_SECONDS = 60.0
LOG_SECONDS = 10.0
SHOW_VERSION = "from chatbot_service.settings import Settings; print(Settings.from_environment().version)"
SHOW_PROMPT = "from chatbot_service.settings import Settings; print(open(Settings.from_environment().system_prompt_file).read())"
INSIDE = ("docker-compose", "run", "--rm", "-T", f"--entrypoint={PYTHON}", "chatbot", "-c")
ASK = ("http://127.0.0.1:8080/api/chat", "--json", '{"message": "Hello, how are you?"}')


@pytest.fixture(scope="module")
def pasted(engine: Engine, checkout: Path) -> str:
    """What the page's block for development prints, which starts everything, waits and asks."""
    return engine.paste(block_run_by(FRESH_COPY, page="docs/compose.md"), cwd=checkout)


@pytest.fixture(scope="module")
def running(engine: Engine, checkout: Path, pasted: str) -> Iterator[Engine]:
    """The engine, with what that block has started."""
    yield engine
    engine.run("docker-compose", "down", "--timeout=1", cwd=checkout)


def containers(engine: Engine) -> dict[str, str]:
    """Return the names of the running containers, and their images."""
    lines = engine.docker("ps", "--format={{.Names}} {{.Image}}").splitlines()
    return dict(line.split() for line in lines)


def test_a_fresh_copy_answers_without_a_key(running: Engine, pasted: str) -> None:
    assert "Made by anthropic-simulator" in json.loads(pasted)["message"]


def test_the_readme_has_the_same_commands() -> None:
    assert block_run_by(FRESH_COPY, page="README.md") == block_run_by(FRESH_COPY, page="docs/compose.md")


def test_health_is_told_in_the_documented_fields(running: Engine) -> None:
    health = json.loads(running.curl("http://127.0.0.1:8080/health"))

    assert list(health) == ["status", "timestamp", "uptime", "version", "liveness", "readiness"]
    assert (health["status"], health["readiness"]["status"]) == ("healthy", "ready")
    assert health["readiness"]["checks"][0]["name"] == "anthropic_api"


def test_the_service_has_its_documented_name_and_the_simulator_is_beside_it(running: Engine) -> None:
    assert containers(running)[CHATBOT] == f"{CHATBOT}:latest"
    assert sorted(containers(running).values()) == [f"{SIMULATOR}:latest", f"{CHATBOT}:latest"]


def test_requests_are_found_in_the_log_by_grep(running: Engine) -> None:
    identity = running.chat()["correlation_id"]

    script = f"docker logs {CHATBOT} | grep 'HTTP request completed' | grep '\"http_status\":200'"
    # The line follows its answer by a few milliseconds.
    wait_until(
        lambda: identity in running.run("sh", "-c", script, check=False).stdout, what="the request's line", timeout_seconds=LOG_SECONDS
    )


def test_metrics_are_for_this_machine_alone(running: Engine) -> None:
    published = running.inspect(CHATBOT)["NetworkSettings"]["Ports"]

    assert "chatbot_requests_in_flight" in running.curl("http://127.0.0.1:9090/metrics")
    assert {address["HostIp"] for ports in published.values() for address in ports} == {"127.0.0.1"}


@pytest.mark.parametrize("name", [CHATBOT, "simulator"])
def test_the_process_has_no_rights(running: Engine, name: str) -> None:
    container = next(found for found in containers(running) if name in found)

    status = running.python(container, "print(open('/proc/self/status').read())")

    assert re.search(r"^Uid:\t1001\t1001\t1001\t1001$", status, re.MULTILINE)
    assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)


@pytest.mark.parametrize(("path", "outcome"), [("/opt/file", "Read-only file system"), ("/tmp/file", "written")])
def test_only_temporary_files_can_be_written(running: Engine, path: str, outcome: str) -> None:
    code = f"""
try:
    open({path!r}, "w").close()
except OSError as error:
    print(error.strerror)
else:
    print("written")
"""
    assert running.python(CHATBOT, code) == outcome


def test_there_is_no_shell(running: Engine) -> None:
    refused = running.run("docker", "exec", CHATBOT, "sh", "-c", "true", check=False)

    assert refused.returncode == 126
    assert "executable file not found" in refused.stdout + refused.stderr


def test_logs_rotate(running: Engine) -> None:
    for container in containers(running):
        assert running.inspect(container)["HostConfig"]["LogConfig"] == {
            "Type": "json-file",
            "Config": {"max-size": "10m", "max-file": "5"},
        }


def test_docker_stats_shows_an_idle_service_below_the_target(running: Engine) -> None:
    used = running.docker("stats", "--no-stream", "--format={{.MemUsage}}", CHATBOT)

    mebibytes = re.match(r"([\d.]+)MiB / ", used)
    assert mebibytes is not None, used
    assert 20 < float(mebibytes[1]) < 400


def test_it_may_finish_its_answers_before_it_is_killed(running: Engine, checkout: Path) -> None:
    settings = dict(line.split("=", 1) for line in (checkout / ".env").read_text().splitlines() if not line.startswith("#") and line)

    assert (settings["DRAIN_DELAY"], settings["DRAIN_TIMEOUT"]) == ("5s", "5m0s")
    assert running.inspect(CHATBOT)["Config"]["StopTimeout"] == 5 + 300 + 5


@pytest.mark.parametrize("files", [(), ("-f", "deploy/docker-compose.prod.yml")], ids=["development", "production"])
def test_settings_with_a_longer_drain_have_a_longer_time_to_end(
    running: Engine, checkout: Path, tmp_path: Path, files: tuple[str, ...]
) -> None:
    shutil.copytree(checkout, tmp_path, symlinks=True, dirs_exist_ok=True)
    settings = re.sub(r"^STOP_GRACE_PERIOD=.*$", "STOP_GRACE_PERIOD=15m10s", (checkout / ".env").read_text(), flags=re.MULTILINE)
    (tmp_path / ".env").write_text(settings)

    config = yaml.safe_load(running.run("docker-compose", *files, "config", cwd=tmp_path).stdout)

    assert config["services"]["chatbot"]["stop_grace_period"] == "15m10s"


def test_a_file_of_the_folder_that_the_page_mounts_is_read(running: Engine, checkout: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs/compose.md").read_text(encoding="utf-8")
    (override,) = (block.text for block in blocks(ROOT / "docs/compose.md") if block.language == "yaml")
    ((setting, here),) = re.findall(r"`(SYSTEM_PROMPT_FILE=\S+)` is `(\S+)` here", page)
    shutil.copy(checkout / "docker-compose.yml", tmp_path)
    (tmp_path / "docker-compose.override.yml").write_text(override)
    (tmp_path / ".env").write_text(re.sub(r"^SYSTEM_PROMPT_FILE=$", setting, (checkout / ".env").read_text(), flags=re.MULTILINE))
    (tmp_path / here).parent.mkdir()
    (tmp_path / here).write_text("Be brief.")

    read = running.run(*INSIDE, SHOW_PROMPT, cwd=tmp_path).stdout
    running.run("docker-compose", "down", cwd=tmp_path)

    assert read.strip() == "Be brief."


def test_a_key_of_ones_own_takes_the_simulators_place(running: Engine, checkout: Path, tmp_path: Path) -> None:
    text = (checkout / ".env").read_text()
    for name, value in {"COMPOSE_PROFILES": "", "ANTHROPIC_BASE_URL": "", "ANTHROPIC_API_KEY": "my-key"}.items():
        text, changes = re.subn(rf"^{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
        assert changes == 1
    (tmp_path / ".env").write_text(text)
    (tmp_path / "docker-compose.yml").write_text((checkout / "docker-compose.yml").read_text().replace(f"container_name: {CHATBOT}", ""))

    running.run("docker-compose", "up", "--no-start", cwd=tmp_path)
    made = running.docker("ps", "--all", "--filter=status=created", "--format={{.Names}} {{.Image}}")
    (name,) = [line.split()[0] for line in made.splitlines()]
    environment = dict(entry.split("=", 1) for entry in running.inspect(name)["Config"]["Env"])
    running.run("docker-compose", "down", cwd=tmp_path)

    assert (environment["ANTHROPIC_BASE_URL"], environment["ANTHROPIC_API_KEY"]) == ("", "my-key")


def test_health_shows_the_version_that_the_image_was_built_as(running: Engine) -> None:
    assert json.loads(running.curl("http://127.0.0.1:8080/health"))["version"] == f"v{version()}"


def test_version_chooses_the_images_and_leaves_the_service_its_own(running: Engine, checkout: Path) -> None:
    config = yaml.safe_load(running.run("docker-compose", "config", cwd=checkout, VERSION="v1.2.3").stdout)

    assert {service["image"] for service in config["services"].values()} == {f"{CHATBOT}:v1.2.3", f"{SIMULATOR}:v1.2.3"}
    assert config["services"]["chatbot"]["environment"]["VERSION"] == ""


def test_an_image_with_a_tag_from_the_settings_still_shows_what_it_was_built_as(running: Engine, checkout: Path, tmp_path: Path) -> None:
    shutil.copy(checkout / "docker-compose.yml", tmp_path)
    (tmp_path / ".env").write_text((checkout / ".env").read_text().replace("# VERSION=", "VERSION="))
    running.docker("tag", f"{CHATBOT}:latest", f"{CHATBOT}:v1.2.3")

    shown = running.run(*INSIDE, SHOW_VERSION, cwd=tmp_path).stdout
    running.run("docker-compose", "down", cwd=tmp_path)
    running.docker("rmi", f"{CHATBOT}:v1.2.3")

    assert shown.strip() == version()


def test_the_health_check_needs_no_shell(running: Engine) -> None:
    def health() -> str:
        return str(running.inspect(CHATBOT)["State"]["Health"]["Status"])

    wait_until(lambda: health() != "starting", what="the first check", timeout_seconds=HEALTHY_SECONDS)

    assert health() == "healthy"


def test_the_engine_of_the_tests_leaves_this_machine_alone(running: Engine) -> None:
    (network,) = running.docker("network", "ls", "--filter=label=com.docker.compose.network", "--format={{.ID}}").split()
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout

    assert f"br-{network}" in running.network_links()
    assert not Path(f"/sys/class/net/br-{network}").exists()
    assert f"br-{network}" not in rules
    assert "/run/data/" not in Path("/proc/self/mountinfo").read_text()
    assert control_groups() != ()  # which the fixture waits to be gone at the end


@pytest.fixture(scope="module")
def outage(running: Engine) -> str:
    """What grep can search after an outage: the log of a service whose upstream failed until its breaker opened. After it only the end."""
    behave(running, {"error": {"status": 500}})
    answers = [running.curl("--no-fail-with-body", *ASK) for _ in range(2)]  # three attempts each, of which five are enough
    behave(running, {})
    wait_until(lambda: "circuit breaker opened" in log(running), what="the breaker's line", timeout_seconds=LOG_SECONDS)
    assert [json.loads(answer)["code"] for answer in answers] == ["upstream_error", "upstream_error"]
    return f"docker logs {CHATBOT}"


def log(engine: Engine) -> str:
    """Return what the service has logged."""
    return engine.docker("logs", CHATBOT)


def behave(engine: Engine, faults: dict[str, object]) -> None:
    """Tell the simulator how to answer, from the service's container: the simulator is open to nobody else."""
    code = f"""
from urllib.request import Request, urlopen
urlopen(Request("http://simulator:8000/_simulator/behaviour", {json.dumps(faults).encode()!r}, method="PUT"), timeout=10)
"""
    engine.python(CHATBOT, code)


@pytest.mark.parametrize("phrase", ["anthropic api call failed, retrying", "anthropic api call failed", "circuit breaker"])
def test_an_outage_is_found_in_the_log_by_grep(running: Engine, outage: str, phrase: str) -> None:
    found = running.run("sh", "-c", f"{outage} | grep '{phrase}'").stdout.splitlines()

    assert {json.loads(line)["level"] for line in found} <= {"warning", "error"}


def test_down_ends_the_simulator_too(running: Engine, checkout: Path) -> None:
    running.run("docker-compose", "down", cwd=checkout)

    assert running.docker("ps", "--all", "--quiet") == ""
