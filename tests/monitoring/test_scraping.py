"""Both ways to be scraped, by the Prometheus operator's objects and by a plain configuration, find the same pods and name them alike.

`make test` has Debian's promtool, which cannot read the part about discovery: ours reads it, where `make monitoring-test` has built it.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from chatbot_operator import names
from chatbot_operator.desired import desired_state
from chatbot_operator.resource import Manifest
from tests.docs.pages import DOCS, blocks
from tests.monitoring.alerts import RULES
from tests.monitoring.conftest import Promtool
from tests.resources import SETTINGS, resource_of

ROOT = RULES.parents[3]
CONFIGURATION = ROOT / "monitoring" / "prometheus.yaml"
INSTANCE = "__meta_kubernetes_pod_label_app_kubernetes_io_instance"


def job(name: str) -> dict[str, Any]:
    (found,) = [job for job in yaml.safe_load(CONFIGURATION.read_text())["scrape_configs"] if job["job_name"] == name]
    configured: dict[str, Any] = found
    return configured


def label_sources(configured: dict[str, Any]) -> dict[str, str]:
    """Return what each target label is taken from."""
    return {rule["target_label"]: rule["source_labels"][0] for rule in configured["relabel_configs"] if "target_label" in rule}


def ports(configured: dict[str, Any]) -> list[str]:
    """Return the names of the ports that are scraped."""
    named = "__meta_kubernetes_pod_container_port_name"
    return [rule["regex"] for rule in configured["relabel_configs"] if rule["source_labels"] == [named] and rule["action"] == "keep"]


def pod_monitor() -> Manifest:
    resource = resource_of({"monitoring": {"podMonitor": True}})
    return next(child for child in desired_state(resource, SETTINGS, 1) if child["kind"] == "PodMonitor")


def static_target() -> str:
    """Return what docs/monitoring.md has for the chatbot of Compose."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "monitoring.md").read_text(), flags=re.DOTALL)
    (found,) = [block for block in blocks if block.startswith("scrape_configs:")]
    return str(found)


def test_the_target_of_compose_has_the_labels_that_the_rules_go_by() -> None:
    ((target,),) = [job["static_configs"] for job in yaml.safe_load(static_target())["scrape_configs"]]
    compose = (ROOT / "docker-compose.yml").read_text()

    assert target["labels"].keys() == {"namespace", "chatbot", "pod"}
    assert all(address.replace(":", ":${ADMIN_PORT:-") + "}:9090" in compose for address in target["targets"])


def test_a_chatbots_pods_are_found_and_named_alike() -> None:
    monitor, configured = pod_monitor()["spec"], job("chatbots")
    (endpoint,) = monitor["podMetricsEndpoints"]
    (discovery,) = configured["kubernetes_sd_configs"]

    assert ports(configured) == [endpoint["port"]]
    assert all(selects(selector["label"], pod["metadata"]["labels"]) for selector in discovery["selectors"] for pod in pod_templates())
    assert monitor["jobLabel"] == names.INSTANCE_LABEL
    assert {rule["targetLabel"]: rule["replacement"] for rule in endpoint["relabelings"]} == {"chatbot": "bot"}
    assert label_sources(configured).items() >= {"job": INSTANCE, "chatbot": INSTANCE}.items()
    assert names.selector_labels("bot")[names.INSTANCE_LABEL] == "bot"


def selects(selector: str, labels: dict[str, str]) -> bool:
    return dict(term.split("=") for term in selector.split(",")).items() <= labels.items()


def pod_templates() -> list[Manifest]:
    """Return the pods of a chatbot: as the operator makes them, and as the plain manifest does."""
    plain = yaml.safe_load_all((ROOT / "deploy" / "k8s-deployment.yaml").read_text())
    children = [*desired_state(resource_of(), SETTINGS, 1), *plain]
    return [child["spec"]["template"] for child in children if child["kind"] == "Deployment"]


def test_both_kinds_of_pods_have_the_port_and_the_name() -> None:
    pods = pod_templates()

    assert len(pods) == 2
    for pod in pods:
        assert pod["metadata"]["labels"][names.INSTANCE_LABEL]
        assert "admin" in {port["name"] for port in pod["spec"]["containers"][0]["ports"]}


def test_the_operators_pods_are_none_of_the_chatbots() -> None:
    configured = job("chatbot-operator")
    (discovery,) = configured["kubernetes_sd_configs"]
    (name,) = [f"{key}={value}" for key, value in names.operator_labels().items()]

    assert [selector["label"] for selector in discovery["selectors"]] == [name]
    assert configured["honor_labels"]
    assert ports(configured) == ["http"]
    assert "chatbot" not in label_sources(configured)


def without_discovery() -> str:
    """Return the configuration for pods as one for no targets at all."""
    configured = yaml.safe_load(CONFIGURATION.read_text())
    for scraped in configured["scrape_configs"]:
        del scraped["kubernetes_sd_configs"]
    return yaml.safe_dump(configured)


@pytest.mark.programs
@pytest.mark.parametrize(
    "configuration", [CONFIGURATION.read_text(), without_discovery(), static_target()], ids=["pods", "pods without discovery", "compose"]
)
def test_the_configuration_is_what_prometheus_reads(configuration: str, promtool: Promtool, tmp_path: Path) -> None:
    (tmp_path / "prometheus.yaml").write_text(configuration)
    if "kubernetes_sd_configs" in configuration and not promtool.discovers:
        pytest.skip("Debian's promtool knows no discovery in Kubernetes; `python -m devcluster build promtool` makes one that does")

    promtool.run("check", "config", tmp_path / "prometheus.yaml")


@pytest.mark.programs
def test_a_target_that_is_down_is_not_among_those_that_the_page_asks_for(promtool: Promtool, tmp_path: Path) -> None:
    """The one query of docs/monitoring.md, on a chatbot's pod and an operator's that are up, and one of each that is down."""
    (query,) = [block.text for block in blocks(DOCS / "monitoring.md") if block.language == "promql"]
    scraped = [('chatbot="bot", job="bot"', "bot"), ('job="chatbot-operator"', "operator")]
    series = [
        {"series": f'up{{namespace="team", pod="{pod}-{state}", {labels}}}', "values": str(state)}
        for labels, pod in scraped
        for state in (0, 1)
    ]
    up = [{"labels": f'{{namespace="team", pod="{pod}-1"}}', "value": 1} for _, pod in scraped]
    case = {"input_series": series, "promql_expr_test": [{"expr": query, "eval_time": "0m", "exp_samples": up}]}
    (tmp_path / "up.yaml").write_text(json.dumps({"tests": [case]}))

    promtool.run("test", "rules", tmp_path / "up.yaml")
