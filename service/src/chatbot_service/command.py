"""What the command does: reads the environment, binds the ports, serves until SIGTERM.

Exit codes: 0 ended by a signal, 1 a port or the simulator cannot be had, 2 the environment is wrong.
"""

import argparse
import asyncio
import os
import ssl
import sys
from collections.abc import Callable, Sequence

import uvloop

from chatbot_service.errors import SettingsInvalid, StartupFailed
from chatbot_service.files import SystemPrompt, WatchedFile
from chatbot_service.listener import bind
from chatbot_service.runtime import Runtime
from chatbot_service.server import Process, scrub_environment
from chatbot_service.settings import Settings
from chatbot_service.telemetry import configure_logging

LOG_SECONDS = 1.0
"""What a slow reader of the log is granted at the end."""


def run(arguments: Sequence[str]) -> int:
    """Return the exit code; everything that keeps the service from starting is said in lines of standard error."""
    parser = argparse.ArgumentParser(prog="chatbot-service", description="A chat service on Claude, set by environment variables.")
    parser.add_argument("--demo", action="store_true", help="answer from a simulated model: no key, no network")
    try:
        if parser.parse_args(arguments).demo:
            _demo()
        else:
            _serve()
    except SettingsInvalid as error:
        print(*error.lines, sep="\n", file=sys.stderr)
        return 2
    except StartupFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _demo() -> None:
    from chatbot_service.demo import Simulator, instructions  # noqa: PLC0415  the service itself starts no process

    with Simulator() as simulator:
        os.environ.pop("ANTHROPIC_API_KEY_FILE", None)
        os.environ.update({"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "demo"})
        os.environ.setdefault("LOG_FORMAT", "console")
        _serve(announce=lambda port: print(instructions(port), flush=True))


def _complaints(settings: Settings, prompt: SystemPrompt) -> list[str]:
    """Return what is wrong with the files that must be there from the start."""
    complaints = []
    if not prompt.refresh():
        complaints.append(f"SYSTEM_PROMPT_FILE: {settings.system_prompt_file} cannot be read as UTF-8 text of at most 1 MiB")
    try:
        if settings.anthropic_ca_file is not None:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(settings.anthropic_ca_file)
    except OSError:
        complaints.append(f"ANTHROPIC_CA_FILE: {settings.anthropic_ca_file} cannot be read as certificates in PEM")
    return complaints


def _serve(*, announce: Callable[[int], None] | None = None) -> None:
    settings = Settings.from_environment()
    prompt = SystemPrompt(WatchedFile(settings.system_prompt_file) if settings.system_prompt_file is not None else None)
    if complaints := _complaints(settings, prompt):
        raise SettingsInvalid(complaints)
    output = configure_logging(settings)
    service_socket = bind("", settings.port, variable="PORT")
    admin_socket = bind(settings.admin_host, settings.admin_port, variable="ADMIN_PORT")
    scrub_environment(os.environ)

    runtime = Runtime.create(settings, prompt, output=output)

    async def serve() -> None:
        await Process(runtime, announce=announce).run(service_socket, admin_socket)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())
    finally:
        runtime.journal.settle()  # also of the requests that a failure has cut
        output.close(seconds=LOG_SECONDS)
