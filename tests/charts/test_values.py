"""What is generated for the charts: a strict schema from the models, and a table from the comments."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from chatbot_operator.resource import ChatbotSpec
from scripts.chart_values import OWN, Row, commented_fields, strict, value_rows, with_table
from tests.charts.rendering import CHATBOT, OPERATOR, ROOT


def schema(chart: str) -> Any:
    return json.loads((ROOT / "charts" / chart / "values.schema.json").read_text())


def objects(part: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every schema of an object, by its path."""
    if isinstance(part, dict):
        if part.get("type") == "object" or "object" in (part.get("type") or ()):
            yield path, part
        for name, inner in part.items():
            yield from objects(inner, f"{path}/{name}")
    elif isinstance(part, list):
        for index, inner in enumerate(part):
            yield from objects(inner, f"{path}/{index}")


@pytest.mark.parametrize("chart", [OPERATOR, CHATBOT])
def test_every_object_says_what_it_may_hold(chart: str) -> None:
    assert [path for path, part in objects(schema(chart)) if "additionalProperties" not in part] == []


def test_what_is_open_is_kubernetes_own() -> None:
    opened = {path for path, part in objects(schema(CHATBOT)) if part["additionalProperties"] is True}

    assert opened == {"/properties/global", "/properties/scheduling/properties/affinity"}


def test_values_are_the_fields_of_the_spec_and_the_chart_s_own() -> None:
    fields = {field.alias or name for name, field in ChatbotSpec.model_fields.items()}

    assert schema(CHATBOT)["properties"].keys() == fields | OWN.keys()


def test_every_value_of_the_operator_s_chart_is_in_its_schema_and_the_other_way_round() -> None:
    values = yaml.safe_load((ROOT / "charts" / OPERATOR / "values.yaml").read_text())

    assert schema(OPERATOR)["properties"].keys() - {"global", "enabled"} == values.keys()


def test_value_of_the_operator_s_chart_that_is_not_empty_is_required_where_its_absence_would_mean_another_one() -> None:
    """A null takes a default away: without peers or ports, for example, a rule of a network policy is open to everybody."""
    values = yaml.safe_load((ROOT / "charts" / OPERATOR / "values.yaml").read_text())

    assert set(not_required(values, schema(OPERATOR))) == {
        "podDisruptionBudget.maxUnavailable",
        "monitoring.dashboards.labels",
        "resources",
    }


def not_required(values: dict[str, Any], part: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the paths of defaults that are not empty and may be left out; of a group that may be, not those of its parts."""
    for name, value in values.items():
        if value and name not in part.get("required", ()):
            yield prefix + name
        elif isinstance(value, dict) and value:
            yield from not_required(value, part["properties"][name], f"{prefix}{name}.")


def test_fields_of_the_spec_stand_in_the_values_as_comments_with_their_defaults() -> None:
    text = commented_fields()

    assert all(line == "" or line.startswith("# ") for line in text.splitlines())
    assert "# model:\n#   name: claude-sonnet-5-5\n" in text
    assert yaml.safe_load((ROOT / "charts" / CHATBOT / "values.yaml").read_text()).keys() < OWN.keys()


def test_structural_schema_becomes_json_schema() -> None:
    field = {
        "type": "object",
        "x-kubernetes-validations": [{"rule": "true"}],
        "properties": {
            "percent": {"x-kubernetes-int-or-string": True, "pattern": "%$", "maxLength": 4},
            "names": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "affinity": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }

    assert strict(field) == {
        "type": "object",
        "properties": {
            "percent": {"type": ["integer", "string"], "pattern": "%$", "maxLength": 4},
            "names": {"type": "array", "uniqueItems": True, "items": {"type": "string"}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "affinity": {"type": "object", "additionalProperties": True},
        },
        "additionalProperties": False,
    }


def test_table_has_a_row_for_each_comment() -> None:
    text = "# One.\n# And more.\none: 1\n\n# All of two.\ntwo:\n  # Its part.\n  part: []\n# Told as a whole.\nthree:\n  a: b\n"

    rows = value_rows(text)

    assert rows == [
        Row("one", "1", "One. And more."),
        Row("two", "", "All of two."),
        Row("two.part", "[]", "Its part."),
        Row("three", '{"a": "b"}', "Told as a whole."),
    ]


@pytest.mark.parametrize(("text", "name"), [("one: 1\n", "one"), ("two:\n  # Told.\n  a: 1\n  b: 1\n", "two.b")])
def test_value_without_a_comment_is_an_error(text: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} has no comment"):
        value_rows(text)


def test_table_replaces_what_stands_between_the_marks() -> None:
    readme = "# Chart\n<!-- values -->\nold\n<!-- /values -->\nEnd.\n"

    written = with_table(readme, [Row("a", '"x|y"', "One | two.")])

    assert "old" not in written
    assert '| `a` | `"x\\|y"` | One \\| two. |\n<!-- /values -->\nEnd.\n' in written
    assert with_table(written, []) == readme.replace("old\n", "| value | default | what it is for |\n|---|---|---|\n")
