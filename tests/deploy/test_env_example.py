"""`.env.example` has every setting of the service with the service's own default, for Compose and for a shell."""

import re
import subprocess
from pathlib import Path

import pytest

from chatbot_service.durations import parse_duration
from chatbot_service.settings import Settings
from scripts.env_example import render_env_example

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_ONLY = {"COMPOSE_PROFILES", "BIND_ADDRESS", "IMAGE_PREFIX", "STOP_GRACE_PERIOD"}
OF_PODS = {"POD_UID", "POD_TEMPLATE_HASH"}
OF_IMAGES = {"VERSION"}
# As they stand, the simulator answers.
CHOSEN = {"ANTHROPIC_BASE_URL": "http://simulator:8000", "ANTHROPIC_API_KEY": "demo"}


def variables() -> dict[str, str]:
    lines = [line for line in render_env_example().splitlines() if line and not line.startswith("#")]
    pairs = dict(line.split("=", 1) for line in lines)
    assert len(pairs) == len(lines)
    return pairs


def test_every_setting_is_there_once() -> None:
    assert set(variables()) == {name.upper() for name in Settings.model_fields} - OF_PODS - OF_IMAGES | COMPOSE_ONLY
    assert re.findall(r"^# ([A-Z_]+)=", render_env_example(), re.MULTILINE) == ["VERSION"]


def test_every_value_is_the_services_own_default() -> None:
    others = {name: value for name, value in variables().items() if name not in CHOSEN}

    assert Settings.from_environment(others) == Settings.from_environment({})


def test_a_copy_asks_the_simulator() -> None:
    assert {name: variables()[name] for name in CHOSEN} == CHOSEN
    assert variables()["COMPOSE_PROFILES"] == "simulator"


@pytest.mark.parametrize("file", ["README.md", "docker-compose.yml", "docs/compose.md", ".env.example"])
def test_who_starts_it_is_told_what_besides_a_key_it_takes_to_ask_anthropic(file: str) -> None:
    """A key goes to ANTHROPIC_BASE_URL, which is the simulator's until that is changed, too."""
    text = (ROOT / file).read_text(encoding="utf-8")

    assert "docs/compose.md" in text or "ANTHROPIC_BASE_URL" in text


def test_a_container_that_is_stopped_may_drain_as_long_as_the_settings_say() -> None:
    settings = Settings.from_environment({})
    (in_compose,) = re.findall(r"\$\{STOP_GRACE_PERIOD:-(\w+)\}", (ROOT / "docker-compose.yml").read_text(encoding="utf-8"))

    assert variables()["STOP_GRACE_PERIOD"] == in_compose
    assert parse_duration(in_compose) == settings.drain_delay + settings.drain_timeout + 5


def test_each_setting_has_a_comment_of_its_own() -> None:
    lines = render_env_example().splitlines()
    places = {line.split("=")[0]: number for number, line in enumerate(lines) if line and not line.startswith("#")}

    for name in places.keys() - {"COMPOSE_PROFILES"}:
        assert lines[places[name] - 1].startswith("# "), name


def test_a_shell_reads_it_as_compose_does(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(render_env_example())

    script = "set -a; . ./.env; exec env --null"
    shell = subprocess.run(["sh", "-euc", script], cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True)

    assert variables().items() <= dict(entry.split("=", 1) for entry in shell.stdout.split("\0") if entry).items()
