"""An input for a tool, from its JSON schema: every property, each with its constant, default or first choice, else the plainest value."""

from collections.abc import Mapping

from pydantic import JsonValue

MAX_DEPTH = 8


def derive_tool_input(schema: Mapping[str, JsonValue], *, text: str) -> dict[str, JsonValue]:
    """Return an input that fits an object schema; `text` stands wherever the schema wants a string and names none."""
    return _derive_object(schema, text, depth=0)


def _derive_value(schema: JsonValue, text: str, *, depth: int) -> JsonValue:
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return None
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("enum", "examples"):
        if choices := schema.get(key):
            return choices[0] if isinstance(choices, list) else None
    for key in ("anyOf", "oneOf"):
        if alternatives := schema.get(key):
            return _derive_value(alternatives[0], text, depth=depth + 1) if isinstance(alternatives, list) else None
    return _derive_plain(schema, text, depth=depth)


def _derive_plain(schema: dict[str, JsonValue], text: str, *, depth: int) -> JsonValue:
    kind = schema.get("type")
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "object":
            return _derive_object(schema, text, depth=depth)
        case "array":
            return [_derive_value(schema["items"], text, depth=depth + 1)] if "items" in schema else []
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return text


def _derive_object(schema: Mapping[str, JsonValue], text: str, *, depth: int) -> dict[str, JsonValue]:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    return {name: _derive_value(part, text, depth=depth + 1) for name, part in properties.items()}
