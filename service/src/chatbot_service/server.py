"""One process, two ports: the service and its admin port, from bound sockets to the end of the last request.

Ports are bound before anything else is done and answer at once; the SDK is imported meanwhile in a thread. Signals belong to the
process, so uvicorn's own handling of them is off.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, MutableMapping

import structlog

from chatbot_service.app import create_admin_app, create_app
from chatbot_service.credentials import Credentials, FixedKey, KeySource
from chatbot_service.files import WatchedFile
from chatbot_service.imports import import_in_thread
from chatbot_service.listener import Listener
from chatbot_service.resilience.budget import RetryBudget
from chatbot_service.resources import Resources
from chatbot_service.runtime import Runtime
from chatbot_service.settings import Settings
from chatbot_service.telemetry import log_loop_error

ADMIN_END_SECONDS = 0.3
HURRIED_END_SECONDS = 1.75
"""From the second signal to the end, whatever still hangs."""
WATCH_SECONDS = 0.5
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy")

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


def scrub_environment(environ: MutableMapping[str, str]) -> None:
    """Remove what the SDK would read by itself: every ANTHROPIC_* variable and every proxy. Ours have been read by now."""
    for name in list(environ):
        if name.upper().startswith("ANTHROPIC_") or name.lower() in PROXIES:
            del environ[name]


def collect_garbage_from_now_on() -> None:
    """Turn the collector on, which `__main__` turned off, and let it pass over what has been imported: that stays for good."""
    gc.freeze()
    gc.enable()


class Process:
    """Runs the service until it is told to stop."""

    def __init__(self, runtime: Runtime, *, announce: Callable[[int], None] | None = None) -> None:
        self._runtime = runtime
        self._announce = announce
        self._port = 0
        self._signals = 0
        self._service = Listener(create_app(runtime))
        self._admin = Listener(create_admin_app(runtime))
        port = self._service.port
        runtime.connections, runtime.requests, runtime.refusals = port.connections, port.tasks, port.refusals

    async def run(self, service_socket: socket.socket, admin_socket: socket.socket) -> None:
        """Serve both ports; returns when a signal has ended the service and its last request is done."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(log_loop_error)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        async with asyncio.TaskGroup() as group:
            admin = group.create_task(self._admin.serve(sockets=[admin_socket]))
            service = group.create_task(self._service.serve(sockets=[service_socket]))
            await self._service.accepting.wait()
            self._runtime.readiness.listening = True
            self._port = service_socket.getsockname()[1]
            log.info("listening", port=self._port, admin_port=admin_socket.getsockname()[1])
            keeper = group.create_task(self._keep())
            await self._drain()
            self._service.end()
            await service
            keeper.cancel()
            await self._end_admin()
            await admin
        self._runtime.journal.settle()
        log.info("stopped")

    async def _drain(self) -> None:
        """Wait for the signal, then until no client is left."""
        drain, readiness = self._runtime.drain, self._runtime.readiness
        await drain.wait_until_begun()
        log.info("stopping", in_flight=self._runtime.slots.in_flight, open_connections=self._service.open_connections)
        was_ready = readiness.ready
        readiness.draining = True
        self._service.end_after_answers()
        if was_ready:
            await drain.delay()
        await self._service.close()
        await drain.finish(self._service.emptied())

    async def _end_admin(self) -> None:
        if self._runtime.upstream is not None:
            await self._runtime.upstream.close()
        self._admin.end_after_answers()
        await self._admin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._admin.emptied(), timeout=ADMIN_END_SECONDS)
        self._admin.end()

    def _signalled(self, number: int) -> None:
        """Stop, without the delay for a person's Ctrl-C; at the second signal end what is in flight, at the third everything."""
        self._signals += 1
        drain = self._runtime.drain
        drain.begin()
        if number == signal.SIGINT:
            drain.skip_delay()
        if self._signals == 2:
            drain.cut()
            hurry = threading.Timer(HURRIED_END_SECONDS, self._leave)
            hurry.daemon = True
            hurry.start()
        elif self._signals > 2:
            self._leave()

    def _leave(self) -> None:
        """End the process now, with the lines that its reader takes at once."""
        try:
            self._runtime.journal.settle()
        finally:
            os._exit(0)

    async def _keep(self) -> None:
        """Load what it takes to ask the model's API, then keep key, prompt and readiness current."""
        runtime = self._runtime
        settings = runtime.settings
        budget = RetryBudget(percent=settings.retry_budget_percent)
        upstream = (await import_in_thread("chatbot_service.upstream")).Upstream(settings, may_resend=budget.take)
        runtime.calls = (await import_in_thread("chatbot_service.calls")).Calls(upstream, settings, runtime.metrics, budget=budget)
        runtime.upstream = upstream
        collect_garbage_from_now_on()
        runtime.credentials = Credentials(
            source=_key_source(settings), readiness=runtime.readiness, check=upstream.check, use=upstream.use_key, clock=time.monotonic
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(runtime.credentials.run())
            group.create_task(self._watch())
            group.create_task(Resources(runtime).run())

    async def _watch(self) -> None:
        """Reread the prompt and the tokens, and log every change between ready and not."""
        readiness = self._runtime.readiness
        last: str | None = ""
        while True:
            self._runtime.prompt.refresh()
            if self._runtime.tokens is not None:
                self._runtime.tokens.refresh()
            reason = readiness.reason
            if reason is None and last is not None:
                log.info("service ready", credentials=readiness.credentials.value)
                self._announce_once()
            elif reason not in (None, last) and not readiness.draining:
                log.log(logging.INFO if readiness.unverified else logging.WARNING, "service not ready", reason=reason)
            last = reason
            await asyncio.sleep(WATCH_SECONDS)

    def _announce_once(self) -> None:
        if self._announce is not None:
            self._announce(self._port)
            self._announce = None


def _key_source(settings: Settings) -> KeySource:
    """Return where the key comes from; a file wins, and is never silently passed over."""
    key = settings.anthropic_api_key
    if settings.anthropic_api_key_file is None:
        return FixedKey(os.fsencode(key.get_secret_value()) if key is not None else None)
    if key is not None:
        log.warning("ANTHROPIC_API_KEY is ignored: ANTHROPIC_API_KEY_FILE is set")
    return WatchedFile(settings.anthropic_api_key_file)
