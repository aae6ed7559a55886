import json
import logging
import re
import socket
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
import structlog
from prometheus_client import generate_latest

from chatbot_operator.cache import Cache
from chatbot_operator.queue import Queue
from chatbot_operator.resource import KIND
from chatbot_operator.telemetry import Metrics, configure_logs, serve
from chatbot_operator.worker import Result


@pytest.fixture
def _logs_as_they_were() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


@pytest.mark.usefixtures("_logs_as_they_were")
def test_line_is_compact_json_with_level_time_and_identity_first_and_the_message_last(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    configure_logs(level="info", format_="json")
    logger = structlog.get_logger()

    with structlog.contextvars.bound_contextvars(namespace="team", name="bot", reconcile_id="0a1b2c3d"):
        logger.info("children applied", kind="Service", reasons=("missing",))
    logger.debug("too quiet")

    (line,) = capfdbinary.readouterr().out.decode().splitlines()
    assert list(json.loads(line)) == ["level", "timestamp", "service", "reconcile_id", "namespace", "name", "kind", "reasons", "message"]
    assert '"level":"info"' in line
    assert '"service":"chatbot-operator"' in line
    assert re.search(r'"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"', line)


@pytest.mark.usefixtures("_logs_as_they_were")
def test_what_libraries_log_has_the_same_form_and_traces_show_no_variables(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    configure_logs(level="info", format_="json")
    password = "not-to-be-logged"

    try:
        int(f"{len(password)} characters")
    except ValueError:
        logging.getLogger("kopf.objects").exception("something broke")
    logging.getLogger("kopf._cogs.clients.watching").error("Request attempt #3 failed")

    (line,) = capfdbinary.readouterr().out.decode().splitlines()
    parsed = json.loads(line)
    assert (parsed["level"], parsed["logger"], parsed["message"]) == ("error", "kopf.objects", "something broke")
    assert "ValueError: invalid literal" in parsed["exception"]
    assert password not in line


def test_metrics_bear_the_names_of_controller_runtime() -> None:
    metrics = Metrics(host="api:443", workers=8)
    queue: Queue[str] = Queue()
    cache = Cache()
    metrics.watch_queue(queue)
    metrics.watch_conditions(cache, leads=lambda: True)
    conditions = [{"type": "Ready", "status": "True"}]
    metadata = {"namespace": "team", "name": "bot", "uid": "1", "resourceVersion": "1"}
    cache.put({"kind": KIND, "metadata": metadata, "status": {"conditions": conditions}})
    queue.add("a")
    queue.add("b")
    queue.pop()

    metrics.observe_request("PATCH", "200")
    metrics.observe_reconcile(Result.PANIC, 0.2)
    metrics.observe_leadership("chatbot-operator", leads=True)

    samples = generate_latest(metrics.registry).decode().splitlines()
    for sample in (
        'controller_runtime_reconcile_total{controller="chatbotdeployment",result="error"} 1.0',
        'controller_runtime_reconcile_errors_total{controller="chatbotdeployment"} 1.0',
        'controller_runtime_reconcile_panics_total{controller="chatbotdeployment"} 1.0',
        'controller_runtime_terminal_reconcile_errors_total{controller="chatbotdeployment"} 0.0',
        'controller_runtime_reconcile_time_seconds_count{controller="chatbotdeployment"} 1.0',
        'controller_runtime_max_concurrent_reconciles{controller="chatbotdeployment"} 8.0',
        'controller_runtime_active_workers{controller="chatbotdeployment"} 1.0',
        'workqueue_depth{name="chatbotdeployment"} 1.0',
        'workqueue_adds_total{name="chatbotdeployment"} 2.0',
        'workqueue_retries_total{name="chatbotdeployment"} 0.0',
        'workqueue_queue_duration_seconds_count{name="chatbotdeployment"} 1.0',
        'rest_client_requests_total{code="200",host="api:443",method="PATCH"} 1.0',
        'leader_election_master_status{name="chatbot-operator"} 1.0',
        'chatbot_condition{name="bot",namespace="team",status="True",type="Ready"} 1.0',
    ):
        assert sample in samples
    assert any(sample.startswith("process_cpu_seconds_total ") for sample in samples)


def test_conditions_are_shown_by_the_leader_alone() -> None:
    metrics, leads = Metrics(host="api:443", workers=1), True
    cache = Cache()
    metrics.watch_conditions(cache, leads=lambda: leads)
    metadata = {"namespace": "team", "name": "bot", "uid": "1", "resourceVersion": "1"}
    cache.put({"kind": KIND, "metadata": metadata, "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    assert b'chatbot_condition{name="bot"' in generate_latest(metrics.registry)

    leads = False

    assert b"chatbot_condition{" not in generate_latest(metrics.registry)


class Checks:
    """What the probes ask."""

    def __init__(self) -> None:
        self.stuck: list[str] = []
        self.unready: list[str] = ["not listed yet"]


@pytest.fixture
async def checks(unused_port: int) -> AsyncIterator[Checks]:
    checks = Checks()
    runner = await serve(
        Metrics(host="api:443", workers=1), host="127.0.0.1", port=unused_port, live=lambda: checks.stuck, ready=lambda: checks.unready
    )
    yield checks
    await runner.cleanup()


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_probes_name_what_is_wrong(checks: Checks, unused_port: int) -> None:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{unused_port}", trust_env=False) as session:

        async def ask(path: str) -> tuple[int, str]:
            async with session.get(path) as response:
                return response.status, await response.text()

        assert await ask("/livez") == (200, "ok\n")
        assert await ask("/readyz") == (503, "not listed yet\n")

        checks.stuck, checks.unready = ["a reconcile has been running for 301 s"], []

        assert await ask("/livez") == (503, "a reconcile has been running for 301 s\n")
        assert await ask("/readyz") == (200, "ok\n")
        status, text = await ask("/metrics")
        assert status == 200
        assert "controller_runtime_max_concurrent_reconciles" in text
