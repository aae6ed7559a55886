"""What a person who opens a dashboard needs: panels that say what they show, in units, without one over another, on any data source."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.conftest import Promtool
from tests.monitoring.dashboards import FILES, load, panels, queries

each_dashboard = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


@each_dashboard
def test_every_panel_says_what_it_shows(file: Path) -> None:
    for panel in panels(load(file)):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]


@each_dashboard
def test_no_panel_covers_another(file: Path) -> None:
    dashboard = load(file)

    def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        return set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))

    covered = [cell for panel in dashboard["panels"] for cell in cells(panel)]
    assert len(covered) == len(set(covered))
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


@each_dashboard
def test_the_data_source_is_whatever_is_chosen(file: Path) -> None:
    dashboard = load(file)

    sources = [part["datasource"]["uid"] for panel in panels(dashboard) for part in (panel, *panel["targets"])]
    assert set(sources) == {"${datasource}"}
    assert dashboard["templating"]["list"][0]["type"] == "datasource"
    assert "id" not in dashboard  # Grafana's own number of it would be taken for another dashboard's elsewhere


def test_dashboards_lead_to_each_other() -> None:
    uids = {load(file)["uid"] for file in FILES}

    text = "".join(file.read_text() for file in FILES)
    assert uids == {"chatbot-fleet", "chatbot-one"}
    assert all(f"/d/{uid}?" in text for uid in uids)


def test_every_variable_of_a_query_is_one_of_its_dashboard() -> None:
    known = {file.stem: {variable["name"] for variable in load(file)["templating"]["list"]} for file in FILES}

    assert [query for query in queries() if query.variables() - known[query.dashboard] - {"__rate_interval"}] == []


def test_every_query_is_of_chatbots_or_their_operator_only() -> None:
    """HTTP, process and client metrics have names that any program has."""
    ours = ("chatbot", 'namespace="$namespace"', 'name="chatbotdeployment"', 'controller="chatbotdeployment"')

    assert [query for query in queries() if not any(word in query.expression for word in ours)] == []


@pytest.mark.programs
def test_every_query_is_what_prometheus_reads(promtool: Promtool, tmp_path: Path) -> None:
    """As recording rules, whose expressions promtool parses."""
    values = {"namespace": "team", "name": "bot", "__rate_interval": "1m"}
    rules = [{"record": f"query{number}", "expr": query.with_values(values)} for number, query in enumerate(queries())]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))

    promtool.run("check", "rules", tmp_path / "rules.yaml")
