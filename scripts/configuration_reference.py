"""`docs/configuration.md`: every variable of the service with its default, its rule, and the field of the resource that sets it.

Pure. The fields are found by rendering: a field whose example changes a variable is one that sets it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args, get_origin

from chatbot_operator.desired.environment import build_environment
from chatbot_operator.errors import SpecInvalid
from chatbot_operator.resource import ChatbotDeployment, ChatbotResource
from chatbot_service.settings import Settings
from scripts.env_example import choices, default_text
from scripts.markdown import cell, code

_HEAD: Final = """\
# Configuration of the service

The chat service reads its environment once, at its start. Generated from its settings by `make generate`; `.env.example` has the same
for Compose and shells. A wrong environment ends the process with code 2 and one line for each variable; an empty variable is an unset one.

Durations are written like `1m30s` or `250ms`, lists with commas. With the operator a variable is set by the field of the
[resource](resource.md) that stands beside it; `spec.env` refuses these names. Where no field stands, the operator sets what the variable
must be in a pod, or leaves it alone: the default holds, unless `kubectl set env` sets another value in the Deployment, as for
[profiles](operations.md#profiles).

These must not contradict each other:

- `UPSTREAM_CONNECT_TIMEOUT` ≤ `UPSTREAM_FIRST_BYTE_TIMEOUT` ≤ `REQUEST_TIMEOUT` ≤ `UPSTREAM_TOTAL_TIMEOUT`
- `UPSTREAM_IDLE_TIMEOUT` ≤ `UPSTREAM_TOTAL_TIMEOUT`
- `ANTHROPIC_INITIAL_BACKOFF` ≤ `ANTHROPIC_MAX_BACKOFF`
- `CLAUDE_FALLBACK_MODELS` names no model twice, and not `CLAUDE_MODEL`
- `CLIENT_AUTH_MODE=Token` needs `CLIENT_TOKENS_FILE`
- `*` in `CORS_ALLOWED_ORIGINS` stands alone

| variable | default | value | what it is for | field of the resource |
|---|---|---|---|---|
"""
_MOUNTED: Final = {"ANTHROPIC_API_KEY_FILE": ["credentials.secretRef"], "CLIENT_TOKENS_FILE": ["clientAuth.secretRef"]}
"""Paths that are always the same in a pod, whichever Secret is mounted there."""
_BOUNDS: Final = {"gt": "more than {}", "minimum": "at least {}", "maximum": "at most {}", "maxLength": "at most {} characters"}


def render_configuration_page() -> str:
    """Return the text of the checked-in page."""
    fields = fields_of_variables() | _MOUNTED
    properties = Settings.model_json_schema()["properties"]
    rows = (_row(name, properties[name], fields.get(name.upper(), [])) for name in Settings.model_fields)
    return _HEAD + "".join(rows)


def fields_of_variables() -> dict[str, list[str]]:
    """Return by which fields of the spec each variable is set."""
    plain = _environment({})
    found: dict[str, list[str]] = defaultdict(list)
    for path, example in _examples("", ChatbotResource.model_json_schema(by_alias=True)):
        try:
            rendered = _environment(_nested(path, example))
        except SpecInvalid:  # a field that needs another one beside it, which is told by that one
            continue
        for name in sorted(rendered.keys() | plain.keys()):
            if rendered.get(name) != plain.get(name):
                found[name].append(path)
    return dict(found)


def _environment(spec: dict[str, Any]) -> dict[str, str]:
    metadata = {"namespace": "default", "name": "chatbot", "uid": "", "generation": 1}
    return build_environment(ChatbotDeployment.from_manifest({"metadata": metadata, "spec": spec}))


def _nested(path: str, value: Any) -> dict[str, Any]:
    for name in reversed(path.split(".")):
        value = {name: value}
    return dict(value)


def _examples(prefix: str, document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every field of the spec that has an example, with it."""
    definitions = document["$defs"]

    def walk(prefix: str, name: str) -> Iterator[tuple[str, Any]]:
        for field, schema in definitions[name]["properties"].items():
            if schema.get("examples"):
                yield prefix + field, schema["examples"][0]
            for part in (schema, *schema.get("anyOf", ())):
                if "$ref" in part:
                    yield from walk(f"{prefix}{field}.", part["$ref"].rsplit("/", 1)[-1])

    return walk(prefix, "ChatbotSpec")


def _row(name: str, schema: Mapping[str, Any], fields: list[str]) -> str:
    field = Settings.model_fields[name]
    cells = (
        f"`{name.upper()}`",
        code(default_text(field)),
        "; ".join(filter(None, (_type(field.annotation), *_bounds(schema)))),
        cell(field.description or ""),
        ", ".join(f"`{path}`" for path in fields),
    )
    return f"| {' | '.join(cells)} |\n"


def _type(annotation: Any) -> str:
    if words := choices(annotation):
        return words[0].lower() + words[1:].rstrip(".")
    kinds = (annotation, *get_args(annotation))
    if bool in kinds:
        return "`true` or `false`"
    if float in kinds:
        return "duration"
    if int in kinds:
        return "integer"
    return "list" if get_origin(annotation) is tuple else "text"


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    for part in (schema, *schema.get("anyOf", ())):
        for keyword, words in _BOUNDS.items():
            if keyword in part:
                yield words.format(part[keyword]).removesuffix(" characters" if part.get("type") == "array" else "")
