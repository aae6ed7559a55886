"""Logs: one compact JSON object a line on standard output, or text for people; the libraries' loggers in the same form.

A stack trace holds files, lines and types, but no message of a foreign error and no local variable: either may quote a prompt or a key.
"""

import asyncio
import logging
import sys
import traceback
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog

from chatbot_service.errors import ServiceError
from chatbot_service.settings import Settings

QUIET_LOGGERS = ("anthropic", "httpx2", "httpcore2", "aiohttp", "asyncio", "uvicorn")
"""Below WARNING these log requests with their bodies, or merely much."""

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


def configure_logging(settings: Settings) -> None:
    """Send every log line of this process to standard output, from `settings.log_level` on."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    as_json = settings.log_format == "json"
    structlog.configure(
        processors=[_line(settings.service_name), _render_json if as_json else _console()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer) if as_json else structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_LibraryHandler()]
    root.setLevel(level)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def stack_trace(error: BaseException) -> str:
    """Return the frames and types of `error` and its causes; the message only of our own errors."""
    parts = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = "".join(traceback.format_tb(current.__traceback__))
        message = f": {current}" if isinstance(current, ServiceError) else ""
        parts.append(f"{frames}{type(current).__module__}.{type(current).__qualname__}{message}")
        current = current.__cause__ or current.__context__
    return "\ncaused by:\n".join(parts)


def log_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The event loop's exception handler: the default one prints the representation of whatever was involved."""
    error = context.get("exception")
    log.error("unhandled error in the event loop", reason=context.get("message"), stack_trace=stack_trace(error) if error else None)


def timestamp() -> str:
    """Return now as every log line and answer shows it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _LibraryHandler(logging.Handler):
    """Passes the standard library's log records on; uvicorn's among them."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        fields: dict[str, Any] = {"logger": record.name}
        if error is not None:
            fields["stack_trace"] = stack_trace(error)
        log.log(record.levelno, record.getMessage(), **fields)


Processor = Callable[[Any, str, MutableMapping[str, Any]], Any]


def _line(service: str) -> Processor:
    def order(_logger: object, level: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
        message = event.pop("event")
        return {"level": level, "timestamp": timestamp(), "service": service, **event, "message": message}

    return order


def _render_json(_logger: object, _level: str, line: MutableMapping[str, Any]) -> bytes:
    return orjson.dumps(line, default=repr)


def _console() -> Processor:
    render = structlog.dev.ConsoleRenderer(event_key="message", colors=sys.stdout.isatty())

    def for_people(logger: object, level: str, line: MutableMapping[str, Any]) -> str:
        del line["service"]
        return render(logger, level, line)

    return for_people
