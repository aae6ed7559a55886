"""`docs/resource.md`: every field of the resource and every condition with its reasons, from the operator's models and tables.

Pure; scripts/generate.py writes the page.
"""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, Final, NamedTuple

from chatbot_operator.crd import build_schema
from chatbot_operator.reasons import READY_REASONS, REASONS
from chatbot_operator.resource import API_VERSION, KIND, ChatbotResource
from chatbot_operator.resource.values import SPELLINGS, VALIDATIONS
from scripts.markdown import cell, code

Schema = dict[str, Any]

_HEAD: Final = f"""\
# The resource

`{KIND}`, `{API_VERSION}`; short names `chatbot` and `cbd`. Generated from the operator's models by `make generate`; `kubectl explain
chatbot.spec` says the same of the version that the cluster has.

`spec: {{}}` is a complete chat service. Durations are written like `1m30s` or `250ms`. What breaks a rule is refused by the API server, in
the words of the rule. A field that is required is so within its object.

## spec
"""
_STATUS: Final = """
## status

Written by the operator alone. `kubectl get chatbot` shows `ready`, `state` and the model; `--output wide` adds the breaker, p95, the error
rate, the endpoint and `summary`. [troubleshooting.md](troubleshooting.md#states) says what each `state` means.

"""
_CONDITIONS: Final = """
## Conditions

`Ready` is always there; `Reconciling` and `Stalled` only while they are true, never both, and with the reason of `Ready`. The other
conditions change nothing about being Ready. Each reason is explained in [troubleshooting.md](troubleshooting.md#reasons).

| condition | status | reasons |
|---|---|---|
"""
_TABLE: Final = "| field | type | default | rule | what it is for | example |\n|---|---|---|---|---|---|\n"
_SAID: Final = re.compile(r" (Default|Example): `(.*?)`\.(?= |$)")


def render_resource_page() -> str:
    """Return the text of the checked-in page."""
    parts = build_schema(ChatbotResource)["properties"]
    return "".join(
        (
            f"{_HEAD}\n{_rules_of(parts['spec'], of='spec')}",
            _TABLE,
            *(_row(path, field) for path, field in _fields("", parts["spec"])),
            _STATUS,
            _TABLE,
            *(_row(path, field) for path, field in _fields("", parts["status"])),
            _CONDITIONS,
            *_condition_rows(),
        )
    )


class _Field(NamedTuple):
    schema: Schema
    required: bool


def _fields(prefix: str, schema: Schema) -> Iterator[tuple[str, _Field]]:
    """Yield every field below `schema` by its path; `[]` stands for the elements of a list."""
    if "items" in schema:
        yield from _fields(f"{prefix.removesuffix('.')}[].", schema["items"])
    for name, part in schema.get("properties", {}).items():
        yield prefix + name, _Field(part, name in schema.get("required", ()))
        yield from _fields(f"{prefix}{name}.", part)


def _row(path: str, field: _Field) -> str:
    schema = field.schema
    text = schema.get("description", "")
    example = next((said for kind, said in _SAID.findall(text) if kind == "Example"), "")
    has_parts = "properties" in schema
    default = "required" if field.required else "" if has_parts or "default" not in schema else code(_literal(schema["default"]))
    cells = (f"`{path}`", _type(schema), default, cell(_rule(schema)), cell(_SAID.sub("", text)), code(example))
    return f"| {' | '.join(cells)} |\n"


def _type(schema: Schema) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    match schema.get("type"):
        case "array":
            return f"list of {_type(schema['items'])}s"
        case "object" if "additionalProperties" in schema:
            return f"map of {_type(schema['additionalProperties'])}s"
        case kind:
            return str(kind)


def _rule(schema: Schema) -> str:
    """Return what the API server asks of a value, in words where there are such."""
    rules = [f"one of {', '.join(f'`{value}`' for value in schema['enum'])}"] if "enum" in schema else []
    rules += filter(None, (_between(schema, "minimum", "maximum"), _between(schema, "minLength", "maxLength", unit=" characters")))
    rules += filter(
        None, (_between(schema, "minItems", "maxItems", unit=" items"), _between(schema, "maxProperties", "maxProperties", unit=" keys"))
    )
    if pattern := schema.get("pattern"):
        rules.append(SPELLINGS.get(pattern, f"matches `{pattern}`"))
    return "; ".join((*rules, *_messages(schema), *_messages(schema.get("items", {})), *_element_rules(schema)))


def _element_rules(schema: Schema) -> tuple[str, ...]:
    """Return the rule of a list's elements where these are no objects, which have rows of their own."""
    items = schema.get("items", {})
    told = _rule({key: value for key, value in items.items() if key != VALIDATIONS}) if items.get("type") not in (None, "object") else ""
    return (f"each {told}",) if told else ()


def _between(schema: Schema, least: str, most: str, *, unit: str = "") -> str:
    low, high = schema.get(least), schema.get(most)
    if high is None:
        return "" if low is None else f"at least {low}{unit}"
    return f"at most {high}{unit}" if low in (None, 0, high) and unit else f"{0 if low is None else low} to {high}{unit}"


def _messages(schema: Schema) -> tuple[str, ...]:
    return tuple(rule["message"] for rule in schema.get(VALIDATIONS, ()))


def _rules_of(schema: Schema, *, of: str) -> str:
    """Return the rules of an object that has no row."""
    return f"Of all of `{of}`: {'; '.join(_messages(schema))}.\n\n"


def _literal(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _condition_rows() -> Iterator[str]:
    yield f"| `Ready`, with `Reconciling` or `Stalled` | True, False | {_listed(READY_REASONS)} |\n"
    for kind, reasons in REASONS.items():
        for status, some in groupby(reasons, key=reasons.__getitem__):
            yield f"| `{kind}` | {status} | {_listed(some)} |\n"


def _listed(reasons: Iterable[str]) -> str:
    return ", ".join(f"`{reason}`" for reason in reasons)
