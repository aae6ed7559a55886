"""The CustomResourceDefinition, made from the models of `resource`; `python -m chatbot_operator.crd` prints it.

A structural schema says less than JSON Schema. What it can say is translated; what it cannot say, or would say without a bound or a
description, raises SchemaUnsupported with the path of the field, so that a model never means more than the API server enforces.
"""

import json
import sys
from collections.abc import Callable
from typing import Any, Final

import yaml
from pydantic import BaseModel

from chatbot_operator.errors import SchemaUnsupported
from chatbot_operator.resource import GROUP, KIND, PLURAL, VERSION, ChatbotResource, Manifest
from chatbot_operator.resource.values import VALIDATIONS

_INT_OR_STRING: Final = "x-kubernetes-int-or-string"
_PRESERVED: Final = "x-kubernetes-preserve-unknown-fields"
_KEPT: Final = (
    "description", "type", _INT_OR_STRING, "format", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength",
    "minItems", "maxItems", "minProperties", "maxProperties", "default", _PRESERVED, "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    "required", "properties", "items", "additionalProperties", VALIDATIONS,
)  # fmt: skip
"""The keywords of a structural schema, in the order in which they are written."""

_IDLE: Final[tuple[Any, ...]] = (None, [], {})
_DROPPED: Final = ("title", "examples")
_REFUSED: Final = {
    "exclusiveMinimum": "use ge instead of gt",
    "exclusiveMaximum": "use le instead of lt",
    "uniqueItems": "use a list of type map or set",
    "prefixItems": "use a list of one type",
    "patternProperties": "bound a map's values, and its keys by CEL",
    "anyOf": "only `T | None` has a structural form",
    "oneOf": "use one type and a CEL rule",
    "allOf": "use one type and a CEL rule",
}


def build_crd() -> Manifest:
    """Return the CustomResourceDefinition as the API server takes it."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["chatbot", "cbd"],
                "categories": ["chatbots"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": build_schema(ChatbotResource)},
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "additionalPrinterColumns": _columns(),
                }
            ],
        },
    }


def _columns() -> list[Manifest]:
    return [
        _column("Ready", ".status.ready", "Ready pods of those wanted."),
        _column("State", ".status.state", "The state in one word."),
        _column("Model", ".spec.model.name", "Model that answers."),
        _column("Age", ".metadata.creationTimestamp", "Time since creation.", kind="date"),
        _column("Breaker", ".status.upstream.breaker", "The worst state among the pods' circuit breakers.", wide=True),
        _column("P95", ".status.slo.p95Milliseconds", "95 of 100 JSON requests were answered within it, in ms.", kind="integer", wide=True),
        _column("Err%", ".status.slo.errorRatePercent", "Requests that ended in an error of the service, in percent.", wide=True),
        _column("Endpoint", ".status.endpoint", "Address within the cluster.", wide=True),
        _column("Message", ".status.summary", "The state in one sentence, with what to do.", wide=True),
    ]


def _column(name: str, path: str, description: str, *, kind: str = "string", wide: bool = False) -> Manifest:
    return {"name": name, "type": kind, "jsonPath": path, "description": description} | ({"priority": 1} if wide else {})


def build_schema(model: type[BaseModel]) -> Manifest:
    """Return the structural schema of `model`, or raise SchemaUnsupported."""
    document: Manifest = model.model_json_schema(by_alias=True)
    return _structural(document, definitions=document.pop("$defs", {}), path=model.__name__, open_references=())


def _structural(schema: Manifest, *, definitions: Manifest, path: str, open_references: tuple[str, ...]) -> Manifest:
    """Return `schema` without references, alternatives and titles."""
    schema, open_references = _inline(_without_null(schema, path), definitions, path, open_references)
    schema = _without_const(schema)
    _check_keywords(schema, path)

    def nested(part: Manifest, name: str) -> Manifest:
        return _structural(part, definitions=definitions, path=f"{path}.{name}", open_references=open_references)

    schema = {**schema, "description": _description(schema, path)}
    result = _without_idle_default({key: schema[key] for key in _KEPT if key in schema})
    _convert_children(result, nested)
    _check_bounds(result, path)
    _check_default(result, path)
    return {key: value for key, value in result.items() if key != "default" or value != {}}


def _convert_children(result: Manifest, nested: Callable[[Manifest, str], Manifest]) -> None:
    if "properties" in result:
        result["properties"] = {name: nested(part, name) for name, part in result["properties"].items()}
    for keyword, name in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(result.get(keyword), dict):
            # An element has no description of its own: the list's or map's says it all.
            part = nested({"description": "-", **result[keyword]}, name)
            result[keyword] = {key: value for key, value in part.items() if (key, value) != ("description", "-")}


def _without_null(schema: Manifest, path: str) -> Manifest:
    """Return the one real alternative of `T | None`; absence says what null would."""
    if "anyOf" not in schema:
        return schema
    alternatives: list[Manifest] = [part for part in schema["anyOf"] if part != {"type": "null"}]
    if len(alternatives) != 1:
        raise SchemaUnsupported(f"{path}: anyOf: {_REFUSED['anyOf']}")
    rest = {key: value for key, value in schema.items() if key != "anyOf" and (key, value) != ("default", None)}
    return alternatives[0] | rest


def _inline(schema: Manifest, definitions: Manifest, path: str, open_references: tuple[str, ...]) -> tuple[Manifest, tuple[str, ...]]:
    """Return `schema` with its reference resolved; what stands beside the reference (description, default, rules) wins."""
    if "$ref" not in schema:
        return schema, open_references
    name = schema["$ref"].rsplit("/", 1)[-1]
    if name in open_references:
        raise SchemaUnsupported(f"{path}: {name} contains itself")
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    target: Manifest = definitions[name]
    validations = [*target.get(VALIDATIONS, []), *beside.get(VALIDATIONS, [])]
    return target | beside | ({VALIDATIONS: validations} if validations else {}), (*open_references, name)


def _without_const(schema: Manifest) -> Manifest:
    if "const" not in schema:
        return schema
    return {key: value for key, value in schema.items() if key != "const"} | {"enum": [schema["const"]]}


def _without_idle_default(schema: Manifest) -> Manifest:
    """Return `schema` without a default that says what absence says: null, or an empty list or map."""
    if isinstance(schema.get("default"), dict) and "properties" in schema:
        return schema | {"default": _without_idle(schema["default"])}
    return {key: value for key, value in schema.items() if key != "default" or value not in _IDLE}


def _without_idle(default: Manifest) -> Manifest:
    parts = {key: _without_idle(value) if isinstance(value, dict) else value for key, value in default.items()}
    return {key: value for key, value in parts.items() if value not in _IDLE}


def _check_keywords(schema: Manifest, path: str) -> None:
    for keyword in schema:
        if keyword in _REFUSED:
            raise SchemaUnsupported(f"{path}: {keyword}: {_REFUSED[keyword]}")
        if keyword not in (*_KEPT, *_DROPPED):
            raise SchemaUnsupported(f"{path}: {keyword} has no structural form")
    if isinstance(schema.get("additionalProperties"), bool):
        raise SchemaUnsupported(f"{path}: additionalProperties must be a schema: unknown fields are pruned by the API server anyway")


def _description(schema: Manifest, path: str) -> str:
    """Return the description, with the default and an example so that `kubectl explain` shows them."""
    text: str = schema.get("description", "")
    if not text:
        raise SchemaUnsupported(f"{path}: a field needs a description")
    default = schema.get("default")
    if default is not None and default != "" and not isinstance(default, dict | list):
        text += f" Default: {_literal(default)}."
    for example in schema.get("examples", [])[:1]:
        text += f" Example: {_literal(example)}."
    return text


def _literal(value: Any) -> str:
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _check_bounds(schema: Manifest, path: str) -> None:
    """Demand an upper bound wherever a user could make an object grow without end: CEL's cost is estimated from it."""
    if schema.get(_INT_OR_STRING):
        _demand(schema, path, "maxLength", "pattern")
        return
    match schema.get("type"):
        case "string" if "enum" not in schema and "format" not in schema:
            _demand(schema, path, "maxLength")
        case "array":
            _demand(schema, path, "maxItems", "items")
        case "object" if "properties" not in schema and not schema.get(_PRESERVED):
            _demand(schema, path, "maxProperties", "additionalProperties")
        case "number":
            raise SchemaUnsupported(f"{path}: use an integer or a quantity instead of a float")
        case "string" | "object" | "integer" | "boolean":
            pass
        case other:
            raise SchemaUnsupported(f"{path}: type {other} has no structural form")


def _demand(schema: Manifest, path: str, *keywords: str) -> None:
    for keyword in keywords:
        if keyword not in schema:
            raise SchemaUnsupported(f"{path}: {keyword} is missing")


def _check_default(schema: Manifest, path: str) -> None:
    """Demand that an object's default is written out: the API server checks it before it fills in what is nested."""
    default = schema.get("default")
    if isinstance(default, dict) and _with_defaults(default, schema) != default:
        raise SchemaUnsupported(f"{path}: the default must spell out the nested defaults: {_with_defaults(default, schema)}")


def _with_defaults(value: Manifest, schema: Manifest) -> Manifest:
    filled = dict(value)
    for name, part in schema.get("properties", {}).items():
        if name not in filled and "default" in part:
            filled[name] = part["default"]
        if isinstance(filled.get(name), dict):
            filled[name] = _with_defaults(filled[name], part)
    return filled


class _LiteralDumper(yaml.SafeDumper):
    """No anchors: the API server's parser takes them, but many readers of a CRD do not."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def render(document: Manifest) -> str:
    """Return the document as YAML, the same text every time."""
    return yaml.dump(document, Dumper=_LiteralDumper, sort_keys=False, width=120, allow_unicode=True)


def render_crd() -> str:
    """Return the text of the checked-in file."""
    return "# Generated by python -m chatbot_operator.crd; do not edit.\n" + render(build_crd())


if __name__ == "__main__":
    sys.stdout.write(render_crd())
