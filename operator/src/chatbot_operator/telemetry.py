"""Logs as JSON lines, metrics under controller-runtime's names, and the port that serves /livez, /readyz and /metrics."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson
import structlog
from aiohttp import web
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from chatbot_operator.cache import Cache
from chatbot_operator.queue import Queue
from chatbot_operator.resource import KIND
from chatbot_operator.worker import Result

SERVICE: Final = "chatbot-operator"
CONTROLLER: Final = "chatbotdeployment"
_FIRST: Final = ("level", "timestamp", "service", "reconcile_id", "namespace", "name")


def _stamp(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Put level, time and identity first and the message last."""
    event["timestamp"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    event["service"] = SERVICE
    message = event.pop("event")
    line = {key: event.pop(key) for key in _FIRST if key in event}
    return {**line, **event, "message": message}


def _to_json(_logger: Any, _method: str, event: structlog.typing.EventDict) -> bytes:
    return orjson.dumps(event, default=str)


class _Forward(logging.Handler):
    """Hands what libraries log to structlog, so that every line has one form."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)


def configure_logs(*, level: str, format_: Literal["json", "console"]) -> None:
    """Set up structlog, and the standard library's logging behind it."""
    shared: list[structlog.typing.Processor] = [structlog.contextvars.merge_contextvars, structlog.processors.add_log_level]
    threshold = logging.getLevelNamesMapping()[level.upper()]
    if format_ == "json":
        structlog.configure(
            processors=[*shared, structlog.processors.format_exc_info, _stamp, _to_json],
            wrapper_class=structlog.make_filtering_bound_logger(threshold),
            logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
            cache_logger_on_first_use=True,
        )
    else:
        structlog.configure(
            processors=[*shared, structlog.processors.TimeStamper("%H:%M:%S"), structlog.dev.ConsoleRenderer()],
            wrapper_class=structlog.make_filtering_bound_logger(threshold),
            cache_logger_on_first_use=True,
        )
    logging.basicConfig(handlers=[_Forward()], level=max(threshold, logging.WARNING), force=True)
    # What kopf's engine logs is said elsewhere: outages by cluster.py, once, and the end of kopf by its supervisor in watch.py.
    for engine in ("kopf._cogs", "kopf._core"):
        logging.getLogger(engine).setLevel(logging.CRITICAL)


class Metrics:
    """Every metric of the process, in a registry of its own."""

    def __init__(self, *, host: str, workers: int) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library's own
        self.registry = CollectorRegistry()
        self._host = host
        self._reconciles = Counter(
            "controller_runtime_reconcile_total", "Reconciliations by result.", ["controller", "result"], registry=self.registry
        )
        self._reconcile_errors = Counter(
            "controller_runtime_reconcile_errors_total", "Reconciliations that failed.", ["controller"], registry=self.registry
        )
        self._terminal_errors = Counter(
            "controller_runtime_terminal_reconcile_errors_total",
            "Reconciliations of resources that only a change of theirs can mend.",
            ["controller"],
            registry=self.registry,
        )
        self._panics = Counter(
            "controller_runtime_reconcile_panics_total",
            "Reconciliations that nobody foresaw to fail.",
            ["controller"],
            registry=self.registry,
        )
        self._reconcile_seconds = Histogram(
            "controller_runtime_reconcile_time_seconds", "Length of a reconciliation.", ["controller"], registry=self.registry
        )
        maximum = Gauge("controller_runtime_max_concurrent_reconciles", "Workers at most.", ["controller"], registry=self.registry)
        maximum.labels(CONTROLLER).set(workers)
        self._requests = Counter(
            "rest_client_requests_total", "Requests to the API server.", ["code", "method", "host"], registry=self.registry
        )
        self._leader = Gauge("leader_election_master_status", "1 when this process is the leader.", ["name"], registry=self.registry)
        self._waited = Histogram("workqueue_queue_duration_seconds", "How long a key waited.", ["name"], registry=self.registry)
        self._worked = Histogram("workqueue_work_duration_seconds", "How long a key was worked on.", ["name"], registry=self.registry)
        for counter in (self._reconcile_errors, self._terminal_errors, self._panics):
            counter.labels(CONTROLLER)  # shown from the start, so that a rate has a beginning
        ProcessCollector(registry=self.registry)

    def observe_request(self, method: str, code: str) -> None:
        """Count an answer of the API server."""
        self._requests.labels(code, method, self._host).inc()

    def observe_reconcile(self, result: Result, seconds: float) -> None:
        """Count a reconciliation; as in controller-runtime terminal errors and panics are errors, too."""
        failed = result in (Result.ERROR, Result.TERMINAL, Result.PANIC)
        self._reconciles.labels(CONTROLLER, Result.ERROR if failed else result).inc()
        self._reconcile_seconds.labels(CONTROLLER).observe(seconds)
        if failed:
            self._reconcile_errors.labels(CONTROLLER).inc()
        if result is Result.TERMINAL:
            self._terminal_errors.labels(CONTROLLER).inc()
        if result is Result.PANIC:
            self._panics.labels(CONTROLLER).inc()

    def observe_leadership(self, lease: str, *, leads: bool) -> None:
        """Say whether this process leads."""
        self._leader.labels(lease).set(int(leads))

    def watch_queue(self, queue: Queue[Any]) -> None:
        """Measure `queue`."""
        queue.on_started = self._waited.labels(CONTROLLER).observe
        queue.on_done = self._worked.labels(CONTROLLER).observe
        self.registry.register(_QueueCollector(queue))

    def watch_conditions(self, cache: Cache, *, leads: Callable[[], bool]) -> None:
        """Show the conditions of every cached resource while this process leads, so that a sum over all replicas is right."""
        self.registry.register(_ConditionCollector(cache, leads=leads))


class _QueueCollector(Collector):
    """What is read off a queue at the time of a scrape."""

    def __init__(self, queue: Queue[Any]) -> None:
        self._queue = queue

    def collect(self) -> Iterator[Metric]:
        seconds = self._queue.work_seconds()
        for name, text, value in (
            ("workqueue_depth", "Keys that wait.", len(self._queue)),
            ("workqueue_unfinished_work_seconds", "Sum of the time that keys in work have taken.", sum(seconds)),
            ("workqueue_longest_running_processor_seconds", "Longest time that a key in work has taken.", max(seconds, default=0)),
            ("controller_runtime_active_workers", "Keys in work.", len(seconds)),
        ):
            label = "controller" if name.startswith("controller") else "name"
            gauge = GaugeMetricFamily(name, text, labels=[label])
            gauge.add_metric([CONTROLLER], value)
            yield gauge
        for name, text, value in (
            ("workqueue_adds", "Keys added.", self._queue.adds),
            ("workqueue_retries", "Keys added again after a failure.", self._queue.retries),
        ):
            counter = CounterMetricFamily(name, text, labels=["name"])
            counter.add_metric([CONTROLLER], value)
            yield counter


class _ConditionCollector(Collector):
    """chatbot_condition: 1 for the status that a condition has."""

    def __init__(self, cache: Cache, *, leads: Callable[[], bool]) -> None:
        self._cache = cache
        self._leads = leads

    def collect(self) -> Iterator[Metric]:
        gauge = GaugeMetricFamily("chatbot_condition", "Conditions of every resource.", labels=["namespace", "name", "type", "status"])
        for manifest in self._cache.all(KIND) if self._leads() else ():
            metadata = manifest["metadata"]
            for condition in (manifest.get("status") or {}).get("conditions") or ():
                gauge.add_metric([metadata["namespace"], metadata["name"], condition["type"], condition["status"]], 1)
        yield gauge


async def serve(
    metrics: Metrics, *, host: str, port: int, live: Callable[[], Iterable[str]], ready: Callable[[], Iterable[str]]
) -> web.AppRunner:
    """Serve the probes and the metrics; `live` and `ready` name what is wrong. The caller cleans the runner up."""

    def probe(check: Callable[[], Iterable[str]]) -> Callable[[web.Request], Any]:
        async def handler(_request: web.Request) -> web.Response:
            problems = tuple(check())
            return web.Response(text="\n".join(problems or ("ok",)) + "\n", status=503 if problems else 200)

        return handler

    async def scrape(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.add_routes([web.get("/livez", probe(live)), web.get("/readyz", probe(ready)), web.get("/metrics", scrape)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
