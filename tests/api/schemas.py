"""JSON schemas of every kind that an API server serves, made from its OpenAPI description, for kubeconform."""

import json
from pathlib import Path
from typing import Any

from devcluster.controlplane import ControlPlane

LOCATION = "{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"
"""Where kubeconform finds a kind's schema below the folder; for kinds without a group it says the version instead."""

QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
DEFINITIONS = "definitions.json"

Schema = dict[str, Any]


def write_schemas(plane: ControlPlane, folder: Path) -> set[str]:
    """Write the schemas into the folder; return the kinds."""
    definitions: dict[str, Schema] = json.loads(plane.kubectl("get", "--raw", "/openapi/v2"))["definitions"]
    strict = {name: _strict(definition) for name, definition in definitions.items()}
    strict[QUANTITY] = {"type": ["string", "number"]}
    (folder / DEFINITIONS).write_text(json.dumps({"definitions": strict}))
    kinds: set[str] = set()
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            file = folder / (kind["group"] or kind["version"]) / f"{kind['kind'].lower()}_{kind['version']}.json"
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps({"$ref": f"../{DEFINITIONS}#/definitions/{name}"}))
            kinds.add(kind["kind"])
    return kinds


def _strict(schema: Schema) -> Schema:
    """Return a schema that refuses unknown fields, in the words of JSON Schema."""
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    if "$ref" in schema:
        return {"$ref": schema["$ref"].replace("#/", f"{DEFINITIONS}#/", 1)}
    result: Schema = {
        keyword: schema[keyword] for keyword in ("type", "enum", "pattern", "required", "minimum", "maximum") if keyword in schema
    }
    if "properties" in schema:
        result["properties"] = {name: _strict(part) for name, part in schema["properties"].items()}
        result["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            result[keyword] = _strict(schema[keyword])
    return result
