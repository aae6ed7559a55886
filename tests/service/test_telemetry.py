import json
import logging
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import chatbot_service
from chatbot_service.errors import UpstreamTimeout
from chatbot_service.telemetry import MAX_FRAMES, stack_trace

pytestmark = pytest.mark.programs


def run(code: str, **environ: str) -> str:
    """Return what `code` writes after logging is configured from `environ`."""
    done = run_whole(code, **environ)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def run_whole(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Return how `code` ends after logging is configured from `environ`."""
    setup = f"""
        import logging, structlog
        from chatbot_service.settings import Settings
        from chatbot_service.telemetry import configure_logging
        configure_logging(Settings.from_environment({environ!r}))
    """
    program = textwrap.dedent(setup) + textwrap.dedent(code)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)


def test_a_line_is_compact_json_with_its_keys_in_order() -> None:
    line = run('structlog.get_logger().info("it happened", b=1, a="ü")', SERVICE_NAME="my-bot")

    assert re.fullmatch(r'\{"level":"info","timestamp":"[-0-9T:]+Z","service":"my-bot","b":1,"a":"ü","message":"it happened"\}\n', line)


@pytest.mark.parametrize("environ", [{}, {"LOG_FORMAT": "console"}, {"LOG_LEVEL": "warning"}], ids=str)
def test_a_writer_of_lines_writes_what_the_logger_does(environ: dict[str, str]) -> None:
    logged = run('structlog.get_logger().info("it happened", b=1, a="ü", c=object())', **environ)
    written = run(
        f"""
        import asyncio
        from chatbot_service.output import Output
        from chatbot_service.telemetry import line_writer
        output = Output.standard()
        write = line_writer("info", "it happened", settings=Settings.from_environment({environ!r}), output=output)
        async def served():
            write({{"b": 1, "a": "ü", "c": object()}})
        asyncio.run(served())
        output.close(seconds=1)
        """,
        **environ,
    )

    assert without_varying(written) == without_varying(logged)


def without_varying(line: str) -> str:
    return re.sub(r"[0-9]{4}-[-0-9T:]+Z|0x[0-9a-f]+", "", line)


def test_lines_below_the_level_are_left_out() -> None:
    assert run('structlog.get_logger().info("it happened")', LOG_LEVEL="warning") == ""


def test_the_console_format_is_for_people() -> None:
    line = run('structlog.get_logger().info("it happened", attempt=2)', LOG_FORMAT="console")

    assert "it happened" in line
    assert "attempt=2" in line
    assert not line.startswith("{")


def test_the_console_shows_a_stack_trace_in_lines_of_its_own_and_obeys_nobody() -> None:
    code = """
        from chatbot_service.telemetry import stack_trace
        try:
            1 / 0
        except ZeroDivisionError as error:
            structlog.get_logger().error("it broke", stack_trace=stack_trace(error), http_path="/\\x1b[2J")
    """

    lines = run(code, LOG_FORMAT="console").splitlines()

    assert "it broke" in lines[0]
    assert "\x1b" not in lines[0]
    assert lines[-1] == "builtins.ZeroDivisionError"


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
    code = 'print([logging.getLogger(name).isEnabledFor(20) for name in ("anthropic", "anthropic._models", "httpx2")])'

    assert run(code, LOG_LEVEL="debug") == "[False, False, False]\n"


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


def test_a_stack_trace_names_lines_and_underlines_nothing() -> None:
    try:
        str(1 // 0)
    except ZeroDivisionError as error:
        trace = stack_trace(error)

    assert "str(1 // 0)" in trace
    assert "^" not in trace


def test_a_stack_trace_has_every_error_of_a_group() -> None:
    group = ExceptionGroup("canary", [ValueError("canary"), UpstreamTimeout("The model's API did not answer in time.")])

    trace = stack_trace(group)

    assert "builtins.ValueError" in trace
    assert "UpstreamTimeout: The model's API" in trace
    assert "canary" not in trace


def test_a_stack_trace_leaves_out_what_was_hidden_on_purpose() -> None:
    try:
        try:
            int("canary")
        except ValueError:
            raise UpstreamTimeout("The model's API did not answer in time.") from None
    except UpstreamTimeout as error:
        trace = stack_trace(error)

    assert "ValueError" not in trace


def test_the_stack_trace_of_a_runaway_recursion_is_bounded() -> None:
    def ping() -> None:
        pong()

    def pong() -> None:
        ping()

    with pytest.raises(RecursionError) as caught:
        ping()

    assert stack_trace(caught.value).count("in ping") + stack_trace(caught.value).count("in pong") == MAX_FRAMES


def test_what_cannot_be_written_shows_its_type_alone_and_ends_nothing() -> None:
    code = """
        class Conversation:
            def __repr__(self):
                return "canary"
        log = structlog.get_logger()
        log.info("an object", value=Conversation())
        log.info("half a surrogate", value="\\ud800", other=Conversation())
        log.info("a large number", value=2**70)
    """

    lines = [json.loads(line) for line in run(code).splitlines()]

    assert [line["value"] for line in lines] == ["Conversation", "\ud800", 2**70]
    assert lines[1]["other"] == "Conversation"


def test_the_arguments_of_a_librarys_message_are_left_out() -> None:
    line = json.loads(run('logging.getLogger("httpcore2.connection").warning("cannot read %s", "canary")'))

    assert (line["logger"], line["message"]) == ("httpcore2.connection", "cannot read %s")


def test_a_message_of_a_library_that_cannot_be_formatted_is_passed_on_as_it_is() -> None:
    lines = run("""
        logging.getLogger("uvicorn.error").warning("%d bytes", "no number")
        logging.getLogger("uvicorn.error").log(35, "between two levels")
    """).splitlines()

    assert [(json.loads(line)["level"], json.loads(line)["message"]) for line in lines] == [
        ("warning", "%d bytes"),
        ("warning", "between two levels"),
    ]


def test_errors_that_nobody_handles_are_logged_without_their_messages() -> None:
    code = """
        import threading, weakref

        class Finalized:
            def __del__(self):
                raise ValueError("canary")

        def broken():
            raise ValueError("canary")

        thread = threading.Thread(target=broken)
        thread.start()
        thread.join()
        Finalized()
        broken()
    """

    done = run_whole(code)

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["message"] for line in lines] == ["unhandled error in a thread", "unhandled error in a finalizer", "unhandled error"]
    assert all("builtins.ValueError" in line["stack_trace"] for line in lines)
    assert "canary" not in done.stdout + done.stderr
    assert done.returncode == 1


def test_nothing_of_this_configures_logging_on_import() -> None:
    assert logging.getLogger().level == logging.WARNING


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_an_error_of_a_callback_is_logged_without_its_arguments(loop: str) -> None:
    code = f"""
        import asyncio, {loop}
        from chatbot_service.telemetry import log_loop_error

        def broken(text):
            raise ValueError(text)

        async def main():
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(log_loop_error)
            loop.call_soon(broken, "canary")
            await asyncio.sleep(0.01)

        with asyncio.Runner(loop_factory={loop}.new_event_loop) as runner:
            runner.run(main())
    """

    output = run(code)

    line = json.loads(output)
    assert (line["message"], line["level"]) == ("unhandled error in the event loop", "error")
    assert line["reason"].startswith("Exception in callback")
    assert "in broken" in line["stack_trace"]
    assert "canary" not in output


def test_the_readme_names_messages_that_there_are() -> None:
    package = Path(chatbot_service.__file__).parent
    source = "".join(path.read_text() for path in package.rglob("*.py"))
    section = (package.parents[1] / "README.md").read_text().partition("## Logs")[2].partition("\n## ")[0]

    messages = [message for row in re.findall(r"^\| (`.+?) \|", section, flags=re.MULTILINE) for message in re.findall(r"`(.+?)`", row)]

    assert len(messages) > 10
    assert [message for message in messages if f'"{message}"' not in source] == []
