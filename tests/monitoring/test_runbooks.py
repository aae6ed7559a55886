"""Each alert has its runbook, and each runbook an alert. That their links lead somewhere is held in tests/docs."""

import re
from pathlib import Path

import pytest

from tests.monitoring.alerts import ALERTS, rules

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"
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


def test_the_list_of_runbooks_names_all_of_them() -> None:
    listed = re.findall(r"\((\w+)\.md\)", (RUNBOOKS / "README.md").read_text())

    assert sorted(listed) == sorted(ALERTS)


def test_severities_are_the_two_that_receivers_are_chosen_by() -> None:
    alerts = [rule for rule in rules() if "alert" in rule]

    assert {rule["labels"]["severity"] for rule in alerts} == {"critical", "warning"}
    assert all(rule["annotations"].keys() == {"summary", "description", "runbook_url"} for rule in alerts)
