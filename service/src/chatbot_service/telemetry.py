"""Logs: one compact JSON object a line on standard output, or text for people; the libraries' loggers in the same form.

A stack trace holds files, lines and types, but no message of a foreign error and no local variable: either may quote a prompt or a key.
For the same reason no value of an unknown type is written out, and of a library's message only what it says of itself.
"""

import asyncio
import contextlib
import functools
import json
import logging
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, MutableMapping
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog

from chatbot_service.errors import ServiceError
from chatbot_service.output import Output
from chatbot_service.settings import Settings

QUIET_LOGGERS = ("anthropic", "httpx2", "httpcore2", "asyncio", "uvicorn")
"""Below WARNING these log requests with their bodies, or merely much."""
MAX_FRAMES = 50
"""The innermost of one error; a runaway recursion has a thousand."""

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


def configure_logging(settings: Settings) -> Output:
    """Send every log line of this process to standard output, from `settings.log_level` on; returns what writes them."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    output = Output.standard()
    structlog.configure(
        processors=[_line(settings.service_name), _render_json if settings.log_format == "json" else _console()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda: output,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_LibraryHandler()]
    root.setLevel(level)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    sys.excepthook = lambda _kind, error, _trace: _log_unhandled("unhandled error", error)
    sys.unraisablehook = lambda unraisable: _log_unhandled("unhandled error in a finalizer", unraisable.exc_value)
    threading.excepthook = lambda unhandled: _log_unhandled("unhandled error in a thread", unhandled.exc_value)
    return output


def line_writer(level: str, message: str, *, settings: Settings, output: Output) -> Callable[[dict[str, Any]], None]:
    """Return what keeps a line of its fields, as the logger would write it, for the next flush, at a third of the cost."""
    number = logging.getLevelNamesMapping()[level.upper()]
    if number < logging.getLevelNamesMapping()[settings.log_level.upper()]:
        return lambda _fields: None
    if settings.log_format != "json":
        return lambda fields: log.log(number, message, **fields)
    service, write = settings.service_name, output.keep
    return lambda fields: write(_json({"level": level, "timestamp": timestamp(), "service": service, **fields, "message": message}))


def stack_trace(error: BaseException) -> str:
    """Return the frames and types of `error` and of what caused it; the message only of our own errors."""
    return "\ncaused by:\n".join(_described(one) for one in _chain(error))


def release_frames(error: BaseException) -> None:
    """Let go of what was on the stack when `error` and what caused it were raised, once that is told.

    The frames hold the request, and the request its errors: without this only the garbage collector frees one that failed, and while the
    model's API hangs it stops the process for more than 50 ms at a time to do so.
    """
    for one in _chain(error, suppressed=True):
        one.__traceback__ = None


def log_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The event loop's exception handler: the default one prints the representation of whatever was involved."""
    # The message of a failed callback quotes its arguments, or the object that it belongs to.
    reason = re.split(r"[<(]", str(context.get("message", "")))[0].strip()
    _log_unhandled("unhandled error in the event loop", context.get("exception"), reason=reason)


def timestamp() -> str:
    """Return now as every log line and answer shows it."""
    return _timestamp_of(int(time.time()))


@functools.lru_cache(maxsize=1)
def _timestamp_of(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _chain(error: BaseException, *, suppressed: bool = False) -> Iterator[BaseException]:
    """Yield `error` and what caused it, by what is told of an error, or also by what was `suppressed` from that."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting.append(current.__cause__)
        if suppressed or not current.__suppress_context__:
            waiting.append(current.__context__)
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions


def _described(error: BaseException) -> str:
    # Not format_tb: it parses each line to underline a part of it, and in an outage a hundred requests fail in the same moment.
    frames = "".join(traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), limit=-MAX_FRAMES).format())
    message = f": {error}" if isinstance(error, ServiceError) else ""
    return f"{frames}{type(error).__module__}.{type(error).__qualname__}{message}"


def _log_unhandled(phrase: str, error: BaseException | None, **fields: object) -> None:
    log.error(phrase, **fields, stack_trace=stack_trace(error) if error is not None else None)


class _LibraryHandler(logging.Handler):
    """Passes the standard library's log records on; uvicorn's among them."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        fields: dict[str, Any] = {"logger": record.name}
        if error is not None:
            fields["stack_trace"] = stack_trace(error)
        log.log(min(record.levelno // 10 * 10, logging.CRITICAL), _said(record), **fields)


def _said(record: logging.LogRecord) -> str:
    """Return the message, its arguments only where they are known to be harmless: others' may quote what they failed on."""
    if record.name.startswith("uvicorn"):
        with contextlib.suppress(TypeError, ValueError):  # arguments that do not fit
            return record.getMessage().strip()
    return str(record.msg)


Processor = Callable[[Any, str, MutableMapping[str, Any]], Any]


def _line(service: str) -> Processor:
    def order(_logger: object, level: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
        message = event.pop("event")
        return {"level": level, "timestamp": timestamp(), "service": service, **event, "message": message}

    return order


def _render_json(_logger: object, _level: str, line: MutableMapping[str, Any]) -> bytes:
    return _json(line)


def _json(line: MutableMapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(line, default=_type_name)
    except TypeError:  # text with half a surrogate pair, or a number of more than 64 bits
        return json.dumps(line, default=_type_name, separators=(",", ":")).encode()


def _type_name(value: object) -> str:
    return type(value).__qualname__


def _console() -> Processor:
    render = structlog.dev.ConsoleRenderer(
        event_key="message", colors=os.isatty(1), repr_native_str=True, exception_formatter=structlog.dev.plain_traceback
    )

    def for_people(logger: object, level: str, line: MutableMapping[str, Any]) -> bytes:
        del line["service"]
        if (trace := line.pop("stack_trace", None)) is not None:
            line["exception"] = trace  # by which name it is shown as it is, in lines of its own
        return render(logger, level, line).encode(errors="replace")

    return for_people
