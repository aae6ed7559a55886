"""The values of the charts, told from what decides them: the chatbot's from the resource's models, both charts' tables from values.yaml.

It reads the charts' own files; scripts/generate.py writes what it returns.
"""

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from chatbot_operator.crd import build_schema
from chatbot_operator.resource import ChatbotResource
from scripts.markdown import cell, code

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
GENERATED_BELOW = "# Everything below is generated from the resource's models; do not edit.\n"
TABLE = re.compile(r"(?<=<!-- values -->\n).*?(?=<!-- /values -->)", flags=re.DOTALL)
KEPT = (
    "description", "type", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
    "minProperties", "maxProperties", "required", "default",
)  # fmt: skip
WIDTH = 130

_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
OWN: dict[str, Schema] = {
    "global": {
        "description": "What a chart above this one shares with its parts; not read.",
        "type": "object",
        "additionalProperties": True,
    },
    "enabled": {"description": "For the condition of a chart above this one; not read.", "type": "boolean"},
    "fullnameOverride": {"type": "string"},
    "commonLabels": _TEXTS,
    "commonAnnotations": _TEXTS,
    "test": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"enabled": {"type": "boolean"}, "image": {"type": "string"}, "podLabels": _TEXTS},
    },
}
"""The values of the chatbot chart that are no fields of the spec."""


def any_case(word: str) -> str:
    """Return a pattern that matches `word` in upper and lower case, in the dialect of JSON Schema."""
    return "".join(f"[{letter.upper()}{letter}]" for letter in word)


API_KEY_PATTERN = f"^({any_case('anthropic')}|{any_case('claude')})?[-_]?({any_case('api')})?[-_]?{any_case('key')}$"
"""What people call a key. It passes the schema, so that the chart itself can say what to do instead."""


def chart_files(charts: Path) -> dict[Path, str]:
    """Return what is generated of the charts in this folder, by its path below it."""
    operator, chatbot = ((charts / name / "values.yaml").read_text(encoding="utf-8") for name in ("chatbot-operator", "chatbot"))
    written = chatbot.partition(GENERATED_BELOW)[0]
    return {
        Path("chatbot/values.schema.json"): chatbot_schema(),
        Path("chatbot/values.yaml"): f"{written}{GENERATED_BELOW}\n{commented_fields()}",
        Path("chatbot/README.md"): with_table(
            (charts / "chatbot/README.md").read_text(encoding="utf-8"), value_rows(written) + spec_rows()
        ),
        Path("chatbot-operator/README.md"): with_table(
            (charts / "chatbot-operator/README.md").read_text(encoding="utf-8"), value_rows(operator)
        ),
    }


def spec_fields() -> dict[str, Schema]:
    """Return the structural schemas of the fields of the resource's spec."""
    fields: dict[str, Schema] = build_schema(ChatbotResource)["properties"]["spec"]["properties"]
    return fields


def chatbot_schema() -> str:
    """Return the schema of the chatbot chart's values."""
    fields = {name: or_null(strict(field)) for name, field in spec_fields().items()}
    if both := sorted(fields.keys() & OWN.keys()):
        raise ValueError(f"{', '.join(both)}: both a field of the spec and a value of the chart itself; rename the latter")
    refused = {API_KEY_PATTERN: {"description": "An API key is no value: it goes into a Secret, and the chart says how."}}
    fields["credentials"]["patternProperties"] = refused
    return dump(
        {
            "$schema": DIALECT,
            "title": "Values of the chatbot chart",
            "type": "object",
            "additionalProperties": False,
            "patternProperties": refused,
            "properties": OWN | fields,
        }
    )


def or_null(field: Schema) -> Schema:
    """Return a schema that takes null too: so a later file of values leaves out what an earlier one has set."""
    types = field["type"] if isinstance(field["type"], list) else [field["type"]]
    return field | {"type": [*types, "null"]} | ({"enum": [*field["enum"], None]} if "enum" in field else {})


def strict(field: Schema) -> Schema:
    """Return a structural schema as JSON Schema that refuses unknown fields; rules in CEL are left to the API server."""
    result = {keyword: field[keyword] for keyword in KEPT if keyword in field}
    if field.get("x-kubernetes-int-or-string"):
        result["type"] = ["integer", "string"]
    if field.get("x-kubernetes-list-type") == "set":
        result["uniqueItems"] = True
    if "properties" in field:
        result["properties"] = {name: strict(part) for name, part in field["properties"].items()}
    if "items" in field:
        result["items"] = strict(field["items"])
    if result.get("type") == "object":
        result["additionalProperties"] = strict(field["additionalProperties"]) if "additionalProperties" in field else _is_preserved(field)
    return result


def _is_preserved(field: Schema) -> bool:
    return bool(field.get("x-kubernetes-preserve-unknown-fields"))


def dump(value: Any, indent: int = 0, used: int = 0) -> str:
    """Return JSON with what fits on a line on one line; the outermost ends with a line break."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or (indent and len(flat) + indent + used <= WIDTH):
        return flat
    pad = " " * (indent + 2)
    if isinstance(value, dict):
        lines = [f"{pad}{json.dumps(name)}: {dump(part, indent + 2, len(name) + 4)}" for name, part in value.items()]
    else:
        lines = [pad + dump(part, indent + 2) for part in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n" + ",\n".join(lines) + f"\n{' ' * indent}{closing}" + ("" if indent else "\n")


def commented_fields() -> str:
    """Return the fields of the spec as comments of a values.yaml: what each is for, and what it is when nobody sets it."""
    return "\n".join(f"{_comment(field['description'])}{_comment_out(name, field.get('default'))}" for name, field in spec_fields().items())


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in textwrap.wrap(text, WIDTH - 2, break_long_words=False, break_on_hyphens=False))


def _comment_out(name: str, default: Any) -> str:
    shown = yaml.safe_dump({name: default}, sort_keys=False, width=WIDTH) if default is not None else f"{name}:\n"
    return "".join(f"# {line}\n" for line in shown.splitlines())


class Row(NamedTuple):
    """A value, its default as JSON, and what it is for."""

    name: str
    default: str
    description: str


def value_rows(text: str) -> list[Row]:
    """Return the values of a values.yaml, described by the comments above them; raises ValueError where there is none.

    A group is told part by part, if its parts have comments, and else as a whole.
    """
    root = yaml.compose(text)
    if not isinstance(root, yaml.MappingNode):
        raise TypeError("values.yaml holds no mapping")
    return list(_rows(root, yaml.safe_load(text), text.splitlines(), prefix=""))


def _rows(node: yaml.MappingNode, values: dict[str, Any], lines: list[str], *, prefix: str) -> Iterator[Row]:
    for key, part in node.value:
        name, value = prefix + key.value, values[key.value]
        description = _comment_above(lines, key.start_mark.line)
        if isinstance(value, dict) and value and any(_comment_above(lines, inner.start_mark.line) for inner, _ in part.value):
            if description:
                yield Row(name, "", description)
            yield from _rows(part, value, lines, prefix=f"{name}.")
        elif not description:
            raise ValueError(f"{name} has no comment in values.yaml")
        else:
            yield Row(name, json.dumps(value), description)


def _comment_above(lines: list[str], line: int) -> str:
    words: list[str] = []
    while line and lines[line - 1].lstrip().startswith("# "):
        line -= 1
        words.insert(0, lines[line].lstrip().removeprefix("# "))
    return " ".join(words)


def spec_rows() -> list[Row]:
    """Return every field of the spec by its path; the descriptions name the defaults."""
    return [row for name, field in spec_fields().items() for row in _field_rows(name, field)]


def _field_rows(path: str, field: Schema) -> Iterator[Row]:
    parts = field.get("properties", {})
    yield Row(
        path,
        "" if parts or "default" not in field else json.dumps(field["default"]),
        re.sub(r" Default: `[^`]*`[.]", "", field["description"]),
    )
    for name, part in parts.items():
        yield from _field_rows(f"{path}.{name}", part)


def with_table(readme: str, rows: list[Row]) -> str:
    """Return a README with the table of values between its two marks."""
    lines = ["| value | default | what it is for |", "|---|---|---|"]
    lines += [f"| `{row.name}` | {code(row.default)} | {cell(row.description)} |" for row in rows]
    table = "".join(f"{line}\n" for line in lines)
    return TABLE.sub(lambda _: table, readme, count=1)
