import json
import logging
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from chatbot_service.errors import UpstreamTimeout
from chatbot_service.telemetry import stack_trace
from tests.conftest import Simulator
from tests.service.conftest import start_service

pytestmark = pytest.mark.programs


def run(code: str, **environ: str) -> str:
    """Return what `code` writes after logging is configured from `environ`."""
    setup = f"""
        import logging, structlog
        from chatbot_service.settings import Settings
        from chatbot_service.telemetry import configure_logging
        configure_logging(Settings.from_environment({environ!r}))
    """
    program = textwrap.dedent(setup) + textwrap.dedent(code)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True).stdout


def test_a_line_is_compact_json_with_its_keys_in_order() -> None:
    line = run('structlog.get_logger().info("it happened", b=1, a="ü")', SERVICE_NAME="my-bot")

    assert re.fullmatch(r'\{"level":"info","timestamp":"[-0-9T:]+Z","service":"my-bot","b":1,"a":"ü","message":"it happened"\}\n', line)


def test_lines_below_the_level_are_left_out() -> None:
    assert run('structlog.get_logger().info("it happened")', LOG_LEVEL="warning") == ""


def test_the_console_format_is_for_people() -> None:
    line = run('structlog.get_logger().info("it happened", attempt=2)', LOG_FORMAT="console")

    assert "it happened" in line
    assert "attempt=2" in line
    assert not line.startswith("{")


def test_the_libraries_loggers_have_the_same_form() -> None:
    lines = run("""
        logging.getLogger("uvicorn.error").warning("100%% of %s", "it")
        try:
            1 / 0
        except ZeroDivisionError:
            logging.getLogger("asyncio").exception("it broke")
    """).splitlines()

    first, second = map(json.loads, lines)
    assert (first["level"], first["logger"], first["message"]) == ("warning", "uvicorn.error", "100% of it")
    assert (second["level"], second["logger"], second["message"]) == ("error", "asyncio", "it broke")
    assert "ZeroDivisionError" in second["stack_trace"]


def test_the_sdk_never_logs_requests_whatever_the_level() -> None:
    code = 'print([logging.getLogger(name).isEnabledFor(20) for name in ("anthropic", "anthropic._models", "httpx2", "aiohttp.client")])'

    assert run(code, LOG_LEVEL="debug") == "[False, False, False, False]\n"


def test_a_stack_trace_has_frames_and_types_but_no_foreign_message() -> None:
    try:
        try:
            int("canary")
        except ValueError as error:
            raise UpstreamTimeout("The model's API did not answer in time.") from error
    except UpstreamTimeout as error:
        trace = stack_trace(error)

    assert "UpstreamTimeout: The model's API did not answer in time." in trace
    assert "builtins.ValueError\n" in trace + "\n"
    assert "test_telemetry.py" in trace
    assert "base 10" not in trace


def test_a_planted_key_and_prompt_show_up_nowhere(simulator: Simulator, tmp_path: Path) -> None:
    key, prompt, question = "canary-key-1", "canary-prompt-2", "canary-question-3"
    (tmp_path / "key").write_text(key)
    (tmp_path / "prompt").write_text(prompt)
    shown: list[bytes] = []

    with start_service(
        simulator, ANTHROPIC_API_KEY_FILE=str(tmp_path / "key"), SYSTEM_PROMPT_FILE=str(tmp_path / "prompt"), LOG_LEVEL="debug"
    ) as service:
        for fault in ({}, {"error": {"status": 400}}, {"error": {"status": 529}}, {"garbage": True}, {"cut_at": 6}, {"overload_at": 6}):
            simulator.behave(**fault)
            for stream in (False, True):
                reply = service.chat(question, stream=stream)
                if reply.status != 200:
                    shown.append(reply.body)
        shown.append(service.request("POST", "/api/chat", {"message": [question]}).body)
        shown.append(service.request("POST", "/api/chat", f'{{"message": "{question}'.encode()).body)
        (tmp_path / "key").write_text(f"invalid-{key}")
        service.wait_until(lambda: service.report()["credentials"]["state"] == "Rejected")
        shown += [service.request("GET", path, admin=True).body for path in ("/report", "/metrics", "/health")]
        service.stop()
        shown.append(service.output().encode())

    everything = b"\n".join(shown)
    assert b"HTTP request completed" in everything
    assert [canary for canary in (key, prompt, question) if canary.encode() in everything] == []


def test_nothing_of_this_configures_logging_on_import() -> None:
    assert logging.getLogger().level == logging.WARNING
