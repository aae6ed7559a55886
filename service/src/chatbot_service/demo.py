"""`chatbot-service --demo`: the service on a simulated model API, with no key and no network."""

import ctypes
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from chatbot_service.errors import SettingsInvalid, StartupFailed

COMMAND = "anthropic-simulator"
START_SECONDS = 15.0
_PR_SET_PDEATHSIG = 1


class Simulator:
    """The simulator as a child that ends with this process."""

    def __init__(self) -> None:
        beside = Path(sys.executable).with_name(COMMAND)
        command = str(beside) if beside.exists() else shutil.which(COMMAND)
        if command is None:
            raise SettingsInvalid([f"--demo needs the {COMMAND} command, which is not installed"])
        self.port = _free_port()
        self._process = subprocess.Popen(  # noqa: S603  our own command
            [command, "--host", "127.0.0.1", "--port", str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  no thread runs yet
            process_group=0,  # a Ctrl-C is for the service, which still has answers to finish
        )
        self._wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.05)
        self._process.kill()
        raise StartupFailed(f"{COMMAND} did not start")


def instructions(port: int) -> str:
    """Return what to tell the person who started the demo."""
    url = f"http://127.0.0.1:{port}"
    return (
        f"\nThe chat service answers on {url} (simulated model, no key needed). Ask it:\n\n"
        f'  curl -N {url}/api/chat -H \'content-type: application/json\' -d \'{{"message": "Hello, how are you?", "stream": true}}\'\n'
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _die_with_parent() -> None:
    """Let the kernel end the child when this process is killed; Linux alone knows how."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
