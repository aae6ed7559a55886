"""The chart's rules by promtool: they parse, each alert fires for what it says and is silent beside it, and values reach each of them."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from chatbot_service.metrics import _FIRST_TOKEN_SECONDS, _REQUEST_SECONDS
from devcluster.binaries import binary
from scripts.burn_rates import render_rules
from tests.monitoring.alerts import ALERTS, RULES
from tests.monitoring.conftest import Promtool

TESTS = sorted((Path(__file__).parent / "rules").glob("*.yaml"))
CHART = RULES.parents[1]
Render = Callable[..., list[dict[str, Any]]]


@pytest.mark.programs
def test_rules_are_what_prometheus_reads(promtool: Promtool) -> None:
    promtool.run("check", "rules", "--lint=all", "--lint-fatal", RULES)


@pytest.mark.programs
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alerts_fire_for_what_they_say_and_are_silent_beside_it(promtool: Promtool, file: Path) -> None:
    promtool.run("test", "rules", file)


def test_every_alert_is_seen_to_fire() -> None:
    """That none fires beside it is in the expectations, which name every alert that does."""
    cases = [case for file in TESTS for case in yaml.safe_load(file.read_text())["tests"]]
    fired = {test["alertname"] for case in cases for test in case.get("alert_rule_test", ()) if test.get("exp_alerts")}
    samples = [sample for case in cases for test in case.get("promql_expr_test", ()) for sample in test["exp_samples"]]
    fired |= {alert for alert in ALERTS for sample in samples if f'alertname="{alert}"' in sample["labels"]}
    fired |= {
        alert
        for alert in ALERTS
        for case in cases
        for test in case.get("promql_expr_test", ())
        if f'alertname="{alert}", alertstate="firing"' in test["expr"] and test["exp_samples"]
    }

    assert sorted(ALERTS - fired) == []


def test_rules_without_the_marks_of_a_generated_part_are_refused() -> None:
    unmarked = RULES.read_text().replace("# End of the generated alerts.", "")

    with pytest.raises(ValueError, match="the marks of the generated alerts"):
        render_rules(unmarked)


@pytest.fixture(scope="module")
def render() -> Render:
    def rendered(*options: str) -> list[dict[str, Any]]:
        done = subprocess.run(
            [binary("helm"), "template", "chatbot-operator", CHART, *options], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    return rendered


def groups(manifests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    (found,) = [manifest["spec"]["groups"] for manifest in manifests if manifest["kind"] == "PrometheusRule"]
    rules: list[dict[str, Any]] = found
    return rules


def rules_named(manifests: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [rule for group in groups(manifests) for rule in group["rules"] if rule.get("alert") == name]


ON = "--set=monitoring.rules.enabled=true"


@pytest.mark.programs
def test_monitoring_is_off_until_it_is_asked_for(render: Render) -> None:
    manifests = render()

    assert {"PrometheusRule", "ServiceMonitor"}.isdisjoint(manifest["kind"] for manifest in manifests)
    assert not [manifest for manifest in manifests if "grafana_dashboard" in manifest["metadata"].get("labels", ())]


@pytest.mark.programs
def test_the_rendered_rules_are_the_file(render: Render) -> None:
    """Beside the operator that must be there: the release's, since another one would be no better than none."""
    here = 'absent(controller_runtime_max_concurrent_reconciles{controller="chatbotdeployment"'
    expected = RULES.read_text().replace(here, f'{here}, namespace="team"')

    assert groups(render(ON, "--namespace=team")) == yaml.safe_load(expected)["groups"]


@pytest.mark.programs
def test_objectives_are_what_the_values_say(render: Render) -> None:
    wanted = {"latencySeconds": 10, "errorPercent": 0.1, "availabilityPercent": 99.95}
    rules = [
        rule for group in groups(render(ON, f"--set-json=monitoring.rules.objectives={json.dumps(wanted)}")) for rule in group["rules"]
    ]

    burning = [rule for rule in rules if rule.get("alert", "").endswith("BudgetBurn")]
    budgets = {(rule["alert"], budget) for rule in burning for budget in re.findall(r" \* ([0-9.e-]+)", rule["expr"])}
    said = {re.findall(r'"(.*)"', rule["annotations"]["summary"])[0] for rule in burning}
    assert budgets == {
        ("ChatbotErrorBudgetBurn", "0.001"),
        ("ChatbotAvailabilityBudgetBurn", "0.0005"),
        ("ChatbotLatencyBudgetBurn", "0.05"),
    }
    assert said == {"errors < 0.1 %", "availability > 99.95 %", "p95 < 10 s"}
    assert set(re.findall(r'le="[^"]*"', json.dumps([rule["expr"] for rule in rules]).replace("\\", ""))) == {'le="10.0"'}
    assert "3 s" not in "".join(rule["annotations"]["description"] for rule in burning)


@pytest.mark.programs
def test_alerts_can_be_left_out_changed_and_linked_to_other_runbooks(render: Render) -> None:
    overrides = {
        "ChatbotMemoryHigh": {"for": "1h", "expr": "vector(1)", "labels": {"severity": "info"}},
        "ChatbotErrorBudgetBurn": {"for": "5m"},
    }
    manifests = render(
        ON,
        "--set=monitoring.rules.disabled={ChatbotCPUHigh,ChatbotLatencyBudgetBurn}",
        f"--set-json=monitoring.rules.overrides={json.dumps(overrides)}",
        "--set=monitoring.rules.runbookBaseURL=https://runbooks.example.com/chatbots",
    )

    assert rules_named(manifests, "ChatbotCPUHigh") == rules_named(manifests, "ChatbotLatencyBudgetBurn") == []
    assert [rule["for"] for rule in rules_named(manifests, "ChatbotErrorBudgetBurn")] == ["5m"] * 4
    (memory,) = rules_named(manifests, "ChatbotMemoryHigh")
    assert (memory["expr"], memory["for"], memory["labels"]) == ("vector(1)", "1h", {"severity": "info"})
    assert memory["annotations"]["runbook_url"] == "https://runbooks.example.com/chatbots/ChatbotMemoryHigh.md"


@pytest.mark.programs
def test_the_values_of_the_documents_are_what_the_chart_takes(render: Render, tmp_path: Path) -> None:
    text = (CHART.parents[1] / "docs" / "monitoring.md").read_text()
    first, changed = (block for block in re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL) if block.startswith("monitoring:"))
    (tmp_path / "first.yaml").write_text(first)
    (tmp_path / "changed.yaml").write_text(changed)

    kinds = {manifest["kind"] for manifest in render(f"--values={tmp_path}/first.yaml")}
    assert kinds >= {"ServiceMonitor", "PrometheusRule", "ConfigMap"}
    changed_rules = render(f"--values={tmp_path}/changed.yaml")
    assert rules_named(changed_rules, "ChatbotCPUHigh") == []
    assert "0.005" in rules_named(changed_rules, "ChatbotErrorBudgetBurn")[0]["expr"]


@pytest.mark.programs
@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("disabled={ChatbotDowm}", "disabled"),
        ("overrides.ChatbotDowm.for=1m", "ChatbotDowm"),
        ("overrides.ChatbotDown.fro=1m", "fro"),
        ("overrides.ChatbotDown.for=soon", "for"),
        ("overrides.ChatbotErrorBudgetBurn.expr=vector(1)", "has several rules"),
        ("runbookBaseURL=https://runbooks.example.com/", "runbookBaseURL"),
        ("objectives.latencySeconds=4", "latencySeconds"),
    ],
)
def test_wrong_values_are_refused_by_name(option: str, named: str) -> None:
    command = [str(binary("helm")), "template", "chatbot-operator", str(CHART), ON, f"--set=monitoring.rules.{option}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode != 0
    assert named in done.stderr


def test_the_latencies_to_choose_from_are_bounds_of_both_histograms() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["monitoring"]["properties"]["rules"]["properties"]
    bounds = {*_REQUEST_SECONDS} & {*_FIRST_TOKEN_SECONDS}

    assert {*schema["objectives"]["properties"]["latencySeconds"]["enum"]} == {bound for bound in bounds if bound >= 1}


def test_the_values_schema_knows_every_alert() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    assert set(schema["$defs"]["alert"]["enum"]) == ALERTS


@pytest.mark.programs
def test_the_operator_is_scraped_through_a_service_and_keeps_its_own_labels(render: Render) -> None:
    manifests = render("--set=monitoring.serviceMonitor.enabled=true", "--set=monitoring.serviceMonitor.labels.release=prometheus")

    by_kind = {manifest["kind"]: manifest for manifest in manifests}
    monitor, service = by_kind["ServiceMonitor"], by_kind["Service"]
    pod = by_kind["Deployment"]["spec"]["template"]
    ports = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["endpoints"] == [{"port": "http", "path": "/metrics", "honorLabels": True}]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


@pytest.mark.programs
def test_dashboards_are_config_maps_that_the_sidecar_finds(render: Render) -> None:
    manifests = render("--set=monitoring.dashboards.enabled=true", "--set=monitoring.dashboards.annotations.grafana_folder=Chatbots")

    found = [manifest for manifest in manifests if manifest["metadata"].get("labels", {}).get("grafana_dashboard") == "1"]
    assert {manifest["kind"] for manifest in found} == {"ConfigMap"}
    assert {manifest["metadata"]["annotations"]["grafana_folder"] for manifest in found} == {"Chatbots"}
    rendered = {json.loads(text)["uid"] for manifest in found for text in manifest["data"].values()}
    assert rendered == {json.loads(file.read_text())["uid"] for file in (RULES.parent / "dashboards").glob("*.json")}
