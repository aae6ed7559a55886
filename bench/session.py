"""What every benchmark's command does alike: words to the user, the machine's name, and an end by a signal that leaves nothing running."""

import platform
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn


def say(text: str) -> None:
    """Tell the user what goes on."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def machine() -> str:
    """Return what this ran on."""
    models = [line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = f"{len(models)} cores of {models[0]}" if models else platform.machine()
    return f"{processor}, Linux {platform.release()}, Python {platform.python_version()}"


def end_by_signals() -> None:
    """Have SIGTERM and Ctrl-C, which a shell may have turned off, end this program and every program that it started."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
