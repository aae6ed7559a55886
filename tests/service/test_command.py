import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.conftest import COMMAND, clean_environment

pytestmark = pytest.mark.programs

LATER = {"anthropic", "httpx2", "tenacity", "prometheus_client", "starlette.middleware.cors", "chatbot_service.demo"}
"""What is imported when it is needed: the SDK and what asks it once the ports are open, the rest at its first use, if ever."""


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments], env=clean_environment(**variables), capture_output=True, text=True, timeout=30, check=False
    )


def test_help_names_the_demo() -> None:
    result = run("--help")

    assert result.returncode == 0
    assert "--demo" in result.stdout


def test_an_unknown_option_ends_it_with_2() -> None:
    assert run("--nonsense").returncode == 2


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_prompt_file_that_cannot_be_read_keeps_it_from_starting(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "prompt"
    if content is not None:
        path.write_bytes(content)

    result = run(SYSTEM_PROMPT_FILE=str(path))

    assert result.returncode == 2
    assert result.stderr == f"SYSTEM_PROMPT_FILE: {path} cannot be read as UTF-8 text of at most 1 MiB\n"


def test_complaints_about_files_come_together() -> None:
    result = run(SYSTEM_PROMPT_FILE="/nonexistent/prompt", ANTHROPIC_CA_FILE="/nonexistent/ca.pem")

    assert result.returncode == 2
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["SYSTEM_PROMPT_FILE", "ANTHROPIC_CA_FILE"]


def test_nothing_is_imported_that_being_live_does_not_need() -> None:
    code = "import sys, chatbot_service.command; print(*sys.modules)"

    result = subprocess.run([sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True, timeout=30, check=True)

    assert LATER & set(result.stdout.split()) == set()
