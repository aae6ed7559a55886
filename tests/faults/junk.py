"""Specs in which one field was spoiled: any field of the CRD's schema, and anything that JSON can say."""

from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from chatbot_operator.resource import Manifest
from tests.specs import specs

CRD = Path(__file__).parents[2] / "crds" / "chatbotdeployments.chatbot.dev.yaml"
_SCHEMA: Manifest = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]

Path_ = tuple[str, ...]


def _fields(schema: Manifest, path: Path_ = ()) -> list[Path_]:
    """Return the path of every field below `schema`; what stands in lists is part of the list."""
    found: list[Path_] = []
    for name, part in schema.get("properties", {}).items():
        found += [(*path, name), *_fields(part, (*path, name))]
    return found


fields = st.sampled_from([path for path in _fields(_SCHEMA) if path != ("replicas",)])  # many pods are another test's business
values: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=300),
    st.sampled_from(["-5s", "0s", "1d", "00%", "101%", "banana", "1e9", "../../etc", "http://169.254.169.254/", "*", "x" * 40_000]),
    st.lists(st.integers() | st.text(max_size=10), max_size=20),
    st.dictionaries(st.text(max_size=20), st.integers() | st.text(max_size=20), max_size=5),
)


def _put(spec: Manifest, path: Path_, value: object) -> Manifest:
    """Return `spec` with another value at `path`."""
    head, *rest = path
    inner = spec.get(head)
    changed = _put(inner if isinstance(inner, dict) else {}, tuple(rest), value) if rest else value
    return {**spec, head: changed}


spoiled = st.builds(_put, specs, fields, values)
