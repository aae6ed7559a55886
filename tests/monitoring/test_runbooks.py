"""Each alert has its runbook, and each runbook an alert. That their links lead somewhere is held in tests/docs."""

import re
from pathlib import Path

import pytest

from chatbot_service.settings import Settings
from tests.monitoring.alerts import ALERTS, rules
from tests.resources import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"
SERVICE = Settings.from_environment({})
IN_WORDS = {5: "five"}
PARTS = ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    written = {file.stem for file in RUNBOOKS.glob("*.md")} - {"README"}

    assert written == ALERTS
    for rule in rules():
        if "alert" in rule:
            assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_a_runbook_says_what_it_means_what_it_costs_how_to_look_and_what_to_do(alert: str) -> None:
    text = (RUNBOOKS / f"{alert}.md").read_text()

    assert text.startswith(f"# {alert}\n")
    assert re.findall(r"^## .*$", text, flags=re.MULTILINE) == PARTS
    assert "```" in text.partition("## Diagnosis")[2].partition("## Mitigation")[0]


def bound(alert: str) -> float:
    """Return the number that an alert's expression ends in."""
    (expression,) = (rule["expr"] for rule in rules() if rule.get("alert") == alert)
    return float(expression.split()[-1])


@pytest.mark.parametrize(
    ("alert", "said"),
    [
        ("ChatbotBreakerOpen", f"opens after {IN_WORDS.get(SERVICE.breaker_failure_threshold)} failed attempts in a row"),
        ("ChatbotBreakerOpen", f"rests for {SERVICE.breaker_reset_timeout:.0f} s, lets one request through"),
        ("ChatbotMemoryHigh", f"more than {bound('ChatbotMemoryHigh') / 1e6:.0f} MB"),
        ("ChatbotSheddingLoad", f"More than {100 * bound('ChatbotSheddingLoad'):.0f} % of the requests"),
        ("ChatbotOperatorNoLeader", f"A change of leader takes {SETTINGS.lease_duration_seconds} s at most"),
    ],
)
def test_a_runbook_s_figures_are_those_of_the_rules_and_the_settings(alert: str, said: str) -> None:
    assert said in " ".join((RUNBOOKS / f"{alert}.md").read_text().split())


def test_the_list_of_runbooks_names_all_of_them() -> None:
    listed = re.findall(r"\((\w+)\.md\)", (RUNBOOKS / "README.md").read_text())

    assert sorted(listed) == sorted(ALERTS)


def test_severities_are_the_two_that_receivers_are_chosen_by() -> None:
    alerts = [rule for rule in rules() if "alert" in rule]

    assert {rule["labels"]["severity"] for rule in alerts} == {"critical", "warning"}
    assert all(rule["annotations"].keys() == {"summary", "description", "runbook_url"} for rule in alerts)
