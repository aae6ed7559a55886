"""The command `anthropic-simulator`."""

import argparse
import os
import sys
from collections.abc import Sequence

from anthropic_simulator.app import create_app
from anthropic_simulator.behaviour import Behaviour, parse_behaviour
from anthropic_simulator.errors import InvalidRequest
from anthropic_simulator.server import Server, listen

MAX_PORT = 65535


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code, 1 when the address cannot be had."""
    options = _parse(arguments)
    try:
        listener = listen(options.host, options.port)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror).partition(" (")[0]
        print(f"anthropic-simulator: cannot listen on {options.host}:{options.port}: {reason}", file=sys.stderr)  # noqa: T201 (the one line)
        return 1
    with listener:
        Server(create_app(options.behaviour), listener).run(sockets=[listener])
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="anthropic-simulator", description="A faithful fake of the Anthropic API with faults on demand.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8000, help="port to listen on, 0 for a free one (default: %(default)s)")
    parser.add_argument(
        "--behaviour", type=_behaviour, default=None, help="faults from the start, as for PUT /_simulator/behaviour", metavar="JSON"
    )
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to {MAX_PORT}")
    return int(text)


def _behaviour(text: str) -> Behaviour:
    try:
        return parse_behaviour(text.encode("utf-8"))
    except InvalidRequest as error:
        raise argparse.ArgumentTypeError(error.message) from error


if __name__ == "__main__":
    sys.exit(main())
