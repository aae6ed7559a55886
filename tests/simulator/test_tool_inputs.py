"""Inputs that fit what a tool's schema asks for."""

from typing import Any

import pytest

from anthropic_simulator.tool_inputs import MAX_DEPTH, derive_tool_input


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "text"),
        ({}, "text"),
        ({"type": ["string", "null"]}, "text"),
        ({"type": "integer"}, 1),
        ({"type": "number", "minimum": 2.5}, 2.5),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": "array"}, []),
        ({"type": "array", "items": {"type": "string"}}, ["text"]),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 7, "type": "integer"}, 7),
        ({"default": False}, False),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"type": "object", "properties": {"x": {"type": "integer"}}}, {"x": 1}),
        ({"anyOf": {}, "type": {}}, "text"),
        ({"enum": 5}, None),
        (7, None),
    ],
)
def test_property_gets_the_plainest_value_that_fits(schema: Any, value: object) -> None:
    assert derive_tool_input({"type": "object", "properties": {"p": schema}}, text="text") == {"p": value}


@pytest.mark.parametrize("schema", [{}, {"type": "object"}, {"properties": []}])
def test_schema_without_properties_gets_an_empty_input(schema: dict[str, Any]) -> None:
    assert derive_tool_input(schema, text="text") == {}


def test_depth_is_bounded() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    for _ in range(10 * MAX_DEPTH):
        schema = {"type": "object", "properties": {"deeper": schema}}

    value: Any = derive_tool_input(schema, text="text")
    depth = 0
    while isinstance(value, dict):
        value, depth = value.get("deeper"), depth + 1

    assert depth == MAX_DEPTH + 1
