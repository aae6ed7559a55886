"""The command `chatbot-service`, from its first moment on ready to be ended."""

import gc
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main() -> NoReturn:
    """Run the command. SIGTERM ends it with 0 even while its modules are being imported, which is why that happens here."""
    for number in SIGNALS:
        signal.signal(number, _leave)
    os.environ.setdefault(
        "PYDANTIC_DISABLE_PLUGINS", "__all__"
    )  # there are none, and to look for them takes a twentieth of the time to live
    gc.disable()  # while everything that is made is there to stay, the search for garbage is a tenth of the time to ready
    try:
        from chatbot_service.command import run  # noqa: PLC0415  after the signal handlers

        code = run(sys.argv[1:])
    finally:
        _hasten_the_end()
    sys.exit(code)


def _hasten_the_end() -> None:
    """Nothing is left to do: a late signal must not change the exit code, nor the search for reference cycles take half a second."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """Nothing has begun that would have to end. An exception would be lost where Python swallows them, as in a `__del__`."""
    os._exit(0)


if __name__ == "__main__":
    main()
