"""A real Prometheus watches real chatbots by the rules and dashboards of the chart: all of them have data, and an outage is told of.

The programs are built by name only (`make monitoring-test` does); without them these tests are skipped.
"""

import http.client
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Any

import pytest
import yaml

from devcluster.controlplane import ControlPlane
from scripts.commands import Tools
from scripts.installation import SYSTEM_NAMESPACE
from tests.cluster.callers import Caller
from tests.cluster.places import ROOT, SMALL, Place, behave, namespace_manifest, new_place
from tests.cluster.test_scaling import open_streams
from tests.monitoring import dashboards
from tests.monitoring.prometheus import Prometheus, missing, start_prometheus
from tests.waiting import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(bool(missing("prometheus")), reason=missing("prometheus"))]

CHART = ROOT / "charts" / "chatbot-operator"
NAMESPACE = "monitoring"
SEEN_SECONDS = 60
TOLD = {"firing"} if os.environ.get("SOAK") else {"pending", "firing"}
"""The states of an alert that is waited for: the minute of the breaker's is waited out at full size only."""

RETIRING_MODEL = "claude-sonnet-4-5"
IMPATIENT = {"retries": {"initialBackoff": "50ms"}, "circuitBreaker": {"resetTimeout": "5s"}}
RATE = 'namespace_chatbot:requests:rate5m{chatbot="healthy"}'


@dataclass(frozen=True)
class Watched:
    """Chatbots in each of the states that alerts tell of, and who watches them."""

    prometheus: Prometheus
    healthy: Place
    narrow: Place

    @property
    def tools(self) -> Tools:
        return self.healthy.tools


@pytest.fixture(scope="module")
def prometheus(installed: Tools, devcluster: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus with the chart's rules, which finds its targets as the documents say, by a service account of its own."""
    folder = tmp_path_factory.mktemp("prometheus")
    rbac = (ROOT / "monitoring" / "rbac.yaml").read_text()
    installed.kubectl("apply", "--server-side", "--filename=-", stdin=namespace_manifest(NAMESPACE))
    installed.kubectl("apply", "--server-side", "--filename=-", stdin=rbac)
    (folder / "token").write_text(installed.kubectl("create", "token", "prometheus", f"--namespace={NAMESPACE}"))
    (folder / "rules.yaml").write_text(yaml.safe_dump(rendered_rules(installed)))
    configuration = yaml.safe_load((ROOT / "monitoring" / "prometheus.yaml").read_text())
    for job in configuration["scrape_configs"]:
        for discovery in job["kubernetes_sd_configs"]:
            discovery |= {
                "api_server": devcluster.url,
                "authorization": {"credentials_file": str(folder / "token")},
                "tls_config": {"ca_file": str(devcluster.authority.certificate)},
            }
    configuration |= {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(folder / "rules.yaml")]}
    with start_prometheus(folder, configuration) as running:
        yield running
    installed.kubectl("delete", "--filename=-", "--ignore-not-found", stdin=rbac)
    installed.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def rendered_rules(tools: Tools) -> dict[str, Any]:
    """Return what the PrometheusRule of the chart holds."""
    text = tools.helm(
        "template",
        "chatbot-operator",
        str(CHART),
        f"--namespace={SYSTEM_NAMESPACE}",
        "--set=monitoring.rules.enabled=true",
        "--show-only=templates/prometheusrule.yaml",
    )
    rules: dict[str, Any] = yaml.safe_load(text)["spec"]
    return rules


@pytest.fixture(scope="module")
def watched(prometheus: Prometheus, installed: Tools) -> Iterator[Watched]:
    """One that serves, one that has no room, one with a refused key, one with a model that there is not."""
    with new_place(installed, "monitoring") as place, ExitStack() as streams:
        place.secret("chatbot-secrets", "demo")
        place.secret("refused", "invalid")
        healthy, narrow, keyless, modelless = (replace(place, chatbot=name) for name in ("healthy", "narrow", "keyless", "modelless"))
        healthy.apply(replicas=2, model={"name": RETIRING_MODEL}, upstream=SMALL["upstream"] | IMPATIENT)
        narrow.apply(limits={"maxInFlight": 1, "queue": 0, "requestsPerSecond": 1})
        keyless.apply(credentials={"secretRef": {"name": "refused"}})
        modelless.apply(model={"name": "no-such-model"})
        for chatbot in (healthy, narrow):
            chatbot.wait_ready()
        open_streams(streams, (narrow, 1))
        yield Watched(prometheus, healthy, narrow)


@pytest.fixture(scope="module")
def broken(watched: Watched) -> Iterator[Watched]:
    """The same, once the model's API has failed for long enough to be told of: a page, and at full size the breaker's minute, too."""
    prometheus, healthy = watched.prometheus, watched.healthy
    healthy.ask()
    send_no_host(healthy.port())
    try:
        with Caller(healthy.port(), pause_seconds=0.1), Caller(watched.narrow.port(), pause_seconds=0.5):
            wait_until(lambda: bool(prometheus.query(f"{RATE} > 0")), what="a rate of requests", seconds=SEEN_SECONDS)
            behave(healthy.tools, error={"status": 500})
            wait_until(lambda: page(watched) == ["firing"], what="a page", seconds=SEEN_SECONDS)
        wait_until(lambda: bool(TOLD & {*breaker(watched)}), what=f"the breaker's alert {TOLD}", seconds=SEEN_SECONDS + 60)
        yield watched
    finally:
        behave(healthy.tools)


@pytest.fixture(scope="module")
def mended(broken: Watched) -> Watched:
    """The same, with the model's API well again and requests going on until it shows."""
    behave(broken.tools)
    with Caller(broken.healthy.port(), pause_seconds=0.2):  # what an open breaker refuses is a failure, too
        wait_until(lambda: not breaker(broken), what="an end of the breaker's alert", seconds=SEEN_SECONDS)
    with Caller(broken.healthy.port()):
        wait_until(lambda: not page(broken), what="an end of the page", seconds=SEEN_SECONDS)
    return broken


def send_no_host(port: int) -> None:
    """Send a request that is no proper HTTP."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.putrequest("GET", "/", skip_host=True)
        connection.endheaders()
        assert connection.getresponse().status == http.client.BAD_REQUEST


def page(watched: Watched) -> list[str]:
    """Return the states of the alert that wakes somebody an hour's errors after an outage began."""
    return watched.prometheus.alerts("ChatbotErrorBudgetBurn", chatbot="healthy", long_window="1h")


def breaker(watched: Watched) -> list[str]:
    """Return the states of the alert that the breaker is open."""
    return watched.prometheus.alerts("ChatbotBreakerOpen", chatbot="healthy", model=RETIRING_MODEL)


def test_every_pod_is_scraped_and_named(watched: Watched) -> None:
    def found() -> list[str]:
        """Return the chatbots of the targets that are up, here and beside the operator, whose pods are of none."""
        up = [target["labels"] for target in watched.prometheus.targets() if target["health"] == "up"]
        return sorted(labels.get("chatbot", "operator") for labels in up if labels["namespace"] in (place, SYSTEM_NAMESPACE))

    place = watched.healthy.namespace
    expected = ["healthy", "healthy", "keyless", "modelless", "narrow", "operator", "operator"]
    wait_until(lambda: found() == expected, what=f"{expected} to be up", seconds=SEEN_SECONDS)


def test_an_outage_of_the_api_pages_and_the_breaker_s_alert_fires_or_is_pending(broken: Watched) -> None:
    """At full size, as in `make monitoring-test`, the breaker's alert must fire."""
    assert page(broken) == ["firing"]
    assert TOLD & {*breaker(broken)}


@pytest.mark.parametrize(
    ("alert", "chatbot"),
    [
        ("ChatbotDown", "keyless"),
        ("ChatbotKeyInvalid", "keyless"),
        ("ChatbotModelRetiringSoon", "healthy"),
        ("ChatbotModelUnavailable", "modelless"),
        ("ChatbotSheddingLoad", "narrow"),
        ("ChatbotStalled", "keyless"),
    ],
)
def test_what_is_wrong_with_a_chatbot_is_told_of(broken: Watched, alert: str, chatbot: str) -> None:
    told = broken.prometheus.alerts

    wait_until(lambda: bool(told(alert, chatbot=chatbot)), what=f"{alert} of {chatbot}", seconds=SEEN_SECONDS)


def test_every_rule_is_evaluated_and_every_series_it_reads_is_there(broken: Watched) -> None:
    prometheus = broken.prometheus
    rules = prometheus.rules()

    assert [rule for rule in rules if rule["health"] != "ok"] == []
    read = {selector for rule in rules for selector in prometheus.selectors(rule["query"])}
    assert [selector for selector in sorted(read) if not prometheus.query(f"count({selector})")] == []


def test_every_panel_of_the_dashboards_shows_something(broken: Watched) -> None:
    prometheus = broken.prometheus
    chosen = [{"namespace": place.namespace, "name": place.chatbot, "__rate_interval": "1m"} for place in (broken.healthy, broken.narrow)]

    empty = [
        (query.dashboard, query.panel, query.expression)
        for query in dashboards.queries()
        if not any(prometheus.query(query.with_values(values)) for values in chosen)
    ]

    assert empty == []


def test_the_end_of_an_outage_ends_its_alerts(mended: Watched) -> None:
    assert breaker(mended) == page(mended) == []
