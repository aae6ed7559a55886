"""One process, two ports: the service and its admin port, from bound sockets to the end of the last request.

Ports are bound before anything else is done and answer at once; the SDK is imported meanwhile in a thread. Signals belong to the
process, so uvicorn's own handling of them is off.
"""

import asyncio
import contextlib
import importlib
import logging
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from types import ModuleType

import structlog
import uvicorn
from starlette.types import ASGIApp

from chatbot_service.app import create_admin_app, create_app
from chatbot_service.credentials import Credentials, FixedKey, KeySource, WatchedFile
from chatbot_service.errors import StartupFailed
from chatbot_service.runtime import Runtime
from chatbot_service.settings import Settings
from chatbot_service.telemetry import log_loop_error

KEEP_ALIVE_SECONDS = 75
ADMIN_GRACE_SECONDS = 1
WATCH_SECONDS = 0.25
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy")

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


def bind(host: str, port: int, *, variable: str) -> socket.socket:
    """Return a listening socket, for both families when `host` is empty or `::`; raises StartupFailed that names what is wrong."""
    both = host in ("", "::") and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both or ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=both)
    except OSError as error:
        # A resolver's errors are negative, and Python appends to every message what was attempted.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror).partition(" (")[0]
        place = f"{host} port {port}" if host else f"port {port}"
        raise StartupFailed(f"cannot listen on {place} ({variable}): {reason}") from error


def scrub_environment(environ: MutableMapping[str, str]) -> None:
    """Remove what the SDK would read by itself: every ANTHROPIC_* variable and every proxy. Ours have been read by now."""
    for name in list(environ):
        if name.upper().startswith("ANTHROPIC_") or name.lower() in PROXIES:
            del environ[name]


class Listener(uvicorn.Server):
    """One of the two servers."""

    def __init__(self, app: ASGIApp, *, grace_seconds: float) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=math.ceil(grace_seconds),
            )
        )
        self.accepting = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.accepting.set()


class Process:
    """Runs the service until it is told to stop."""

    def __init__(self, runtime: Runtime, *, announce: Callable[[int], None] | None = None) -> None:
        self._runtime = runtime
        self._announce = announce
        self._port = 0
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._service = Listener(create_app(runtime), grace_seconds=runtime.settings.drain_timeout)
        self._admin = Listener(create_admin_app(runtime), grace_seconds=ADMIN_GRACE_SECONDS)

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
            await self._stop.wait()
            log.info("stopping", in_flight=self._runtime.traffic.in_flight)
            keeper.cancel()
            was_ready = self._runtime.readiness.ready
            self._runtime.readiness.draining = True
            if was_ready:
                await self._wait_until_out_of_rotation()
            self._service.should_exit = True
            await service
            self._admin.should_exit = True
            await admin
        if self._runtime.upstream is not None:
            await self._runtime.upstream.close()
        log.info("stopped")

    async def _wait_until_out_of_rotation(self) -> None:
        """Go on accepting for the drain delay: kube-proxy and balancers hear of the end of a pod later than the pod."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), timeout=self._runtime.settings.drain_delay)

    def _signalled(self, number: int) -> None:
        """Stop, without the delay for a person's Ctrl-C; at the second signal leave what is still in flight."""
        self._service.force_exit = self._admin.force_exit = self._stop.is_set()
        if self._stop.is_set() or number == signal.SIGINT:
            self._hurry.set()
        self._stop.set()

    async def _keep(self) -> None:
        """Load the SDK, then keep key, prompt and readiness current."""
        runtime = self._runtime
        settings = runtime.settings
        module = await _import_in_thread("chatbot_service.upstream")
        upstream = module.Upstream(settings)
        runtime.upstream = upstream
        runtime.credentials = Credentials(
            source=_key_source(settings), readiness=runtime.readiness, check=upstream.check, use=upstream.use_key, clock=time.monotonic
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(runtime.credentials.run())
            group.create_task(self._watch())

    async def _watch(self) -> None:
        """Reread the prompt, measure the event loop's lag, and log every change between ready and not."""
        readiness = self._runtime.readiness
        last: str | None = ""
        while True:
            self._runtime.prompt.refresh()
            reason = readiness.reason
            if reason is None and last is not None:
                log.info("service ready", credentials=readiness.credentials.value)
                self._announce_once()
            elif reason not in (None, last):
                log.log(logging.INFO if readiness.unverified else logging.WARNING, "service not ready", reason=reason)
            last = reason
            due = time.monotonic() + WATCH_SECONDS
            await asyncio.sleep(WATCH_SECONDS)
            self._runtime.loop_lag_seconds = max(0.0, time.monotonic() - due)

    def _announce_once(self) -> None:
        if self._announce is not None:
            self._announce(self._port)
            self._announce = None


def _key_source(settings: Settings) -> KeySource:
    """Return where the key comes from; a file wins, and is never silently passed over."""
    key = settings.anthropic_api_key
    if settings.anthropic_api_key_file is None:
        return FixedKey(key.get_secret_value().encode() if key is not None else None)
    if key is not None:
        log.warning("ANTHROPIC_API_KEY is ignored: ANTHROPIC_API_KEY_FILE is set")
    return WatchedFile(settings.anthropic_api_key_file)


async def _import_in_thread(name: str) -> ModuleType:
    """Import a slow module without holding up the ports; the thread dies with the process, whatever it is at."""
    loop = asyncio.get_running_loop()
    imported: asyncio.Future[ModuleType] = loop.create_future()

    def settle(result: ModuleType | BaseException) -> None:
        if imported.done():
            return
        if isinstance(result, BaseException):
            imported.set_exception(result)
        else:
            imported.set_result(result)

    def work() -> None:
        try:
            result: ModuleType | BaseException = importlib.import_module(name)
        except BaseException as error:  # noqa: BLE001  handed to the waiting task
            result = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is ending
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=work, name="import", daemon=True).start()
    return await imported
