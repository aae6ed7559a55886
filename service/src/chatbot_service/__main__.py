"""The command `chatbot-service`, from its first moment on ready to be ended."""

import signal
import sys
from types import FrameType
from typing import NoReturn


def main() -> NoReturn:
    """Run the command. SIGTERM ends it with 0 even while its modules are being imported, which is why that happens here."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)

    from chatbot_service.command import run  # noqa: PLC0415  after the signal handlers

    sys.exit(run(sys.argv[1:]))


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    main()
