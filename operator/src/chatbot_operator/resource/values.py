"""The kinds of value that the resource is made of, and the rules that the API server enforces on them.

`Admission` holds what a new value must satisfy: the API server checks it on every write, reading does not, so that a resource written under
older rules is still reconciled. A constraint of pydantic's own stands only where a value that breaks it could not be rendered at all.
"""

import math
import re
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

Manifest = dict[str, Any]
"""A Kubernetes object as the API speaks it; the one alias for such data."""

Rule = tuple[str, str]
"""A rule in CEL, and what the API server says where it does not hold."""

VALIDATIONS = "x-kubernetes-validations"
PORT_PATTERN = r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
"""A port behind a host name, or none."""
DURATION_PATTERN = r"^([0-9]{1,6}(ms|s|m|h)){1,3}$"

_UNIT_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_WHOLE_SECONDS_PATTERN = r"^([0-9]{1,6}(s|m|h)){1,3}$"
_CPU_PATTERN = r"^([0-9]{1,6}m?|[0-9]{1,6}\.[0-9]{1,3})$"
_MEMORY_PATTERN = r"^[0-9]{1,15}(\.[0-9]{1,3})?([kMGT]|[KMGT]i)?$"
_PERCENTAGE_PATTERN = r"^(100(\.0{1,2})?|[0-9]{1,2}(\.[0-9]{1,2})?)$"
_COUNT_OR_PERCENT_PATTERN = r"^(100|[0-9]{1,2})%$"
_OBJECT_NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_DATA_KEY_PATTERN = r"^\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$"
"""What Secrets and ConfigMaps take as keys: neither `.` nor anything that begins with `..`."""

SPELLINGS = {
    DURATION_PATTERN: "must be a duration such as 1m30s or 250ms",
    _WHOLE_SECONDS_PATTERN: "must be a duration of whole seconds such as 1m30s",
    _CPU_PATTERN: "must be cores or thousandths such as 1.5 or 250m",
    _MEMORY_PATTERN: "must be bytes such as 512Mi",
    _PERCENTAGE_PATTERN: "must be a percentage with two decimals at most, from 0 to 100",
    _COUNT_OR_PERCENT_PATTERN: "must be a number or a percentage such as 25%",
}
"""What the patterns mean, for people."""


@lru_cache(maxsize=256)
def duration_milliseconds(duration: str) -> int:
    """Return the length of a duration such as `1m30s`, which must match `DURATION_PATTERN`."""
    return sum(int(number) * _UNIT_MILLISECONDS[unit] for number, unit in re.findall(r"([0-9]+)(ms|s|m|h)", duration))


def duration_seconds(duration: str) -> int:
    """Return the length of a duration in whole seconds, rounded up: Kubernetes knows no shorter unit."""
    return math.ceil(duration_milliseconds(duration) / 1000)


def rules(*pairs: Rule) -> dict[str, Any]:
    """Return the schema extension that holds CEL rules, given as (rule, message).

    Rules run on values that a pattern refuses too: one that breaks on them needs a guard, or it adds an error of CEL's own.
    """
    return {VALIDATIONS: [{"rule": rule, "message": message} for rule, message in pairs]}


def compare_durations(left: str, operator: str, right: str, message: str) -> Rule:
    """Return the rule `left operator right` for two fields that are durations, silent where one of them is none."""
    are_durations = f"[{left}, {right}].all(part, part.matches(r'{DURATION_PATTERN}'))"
    return f"!{are_durations} || duration({left}) {operator} duration({right})", message


class Admission:
    """What the API server demands of a value: keywords of the schema, and rules in CEL. Reading takes any value of the type."""

    def __init__(self, *pairs: Rule, **keywords: Any) -> None:
        self._keywords = {keyword if "-" in keyword else to_camel(keyword): value for keyword, value in keywords.items()}
        self._rules = rules(*pairs)[VALIDATIONS]

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Add the keywords and the rules to the schema of the annotated type."""
        schema = handler(core_schema) | self._keywords
        validations = [*schema.get(VALIDATIONS, []), *self._rules]
        return schema | ({VALIDATIONS: validations} if validations else {})


def at_most(duration: str) -> Rule:
    """Return the rule that bounds a field that is a duration."""
    return f"!self.matches(r'{DURATION_PATTERN}') || duration(self) <= duration('{duration}')", f"must not exceed {duration}"


def list_map(key: str, *, at_most: int) -> Admission:
    """Return the rules of a list of objects, in which `key` tells one from another."""
    return Admission(max_items=at_most, **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]})


_MORE_THAN_ZERO: Rule = ("self.matches('[1-9]')", "must be more than zero")
_QUANTITY_RULE: Rule = ("!isQuantity(string(self)) || quantity(string(self)).isGreaterThan(quantity('0'))", "must be more than zero")
_QUALIFIED_KEYS: Rule = (
    "self.all(key, !format.qualifiedName().validate(key).hasValue())",
    "keys must be qualified names such as example.com/name, at most 63 characters after the slash",
)
_LABEL_VALUES: Rule = (
    "self.all(key, !format.labelValue().validate(self[key]).hasValue())",
    "values must be label values: at most 63 letters, digits, hyphens, underscores and dots, a letter or digit at both ends",
)
_NOT_OURS: Rule = ("self.all(key, !key.startsWith('chatbot.dev/'))", "keys under chatbot.dev/ are the operator's own")
_NOT_SELECTED_BY: Rule = (
    "self.all(key, !key.startsWith('app.kubernetes.io/') && key != 'pod-template-hash')",
    "keys under app.kubernetes.io/ and pod-template-hash tell whose the object is",
)


class _NumberOrText:
    """The schema of a value that may be written as a bare integer or as text; it is kept as text."""

    def __init__(self, pattern: str, *pairs: Rule, maximum: int) -> None:
        self._schema = {"pattern": pattern, "minimum": 0, "maximum": maximum, "maxLength": 20, **(rules(*pairs) if pairs else {})}

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the structural schema, which has no type: the API server tells the two apart."""
        del core_schema, handler
        return {"x-kubernetes-int-or-string": True, **self._schema}


# 12 characters keep any sum of hours within what Go's and CEL's int64 of nanoseconds can hold.
Duration = Annotated[str, Field(pattern=DURATION_PATTERN), Admission(max_length=12)]
Timeout = Annotated[str, Field(pattern=DURATION_PATTERN), Admission(_MORE_THAN_ZERO, max_length=12)]
"""A duration that cannot be nothing."""
Period = Annotated[str, Field(pattern=_WHOLE_SECONDS_PATTERN), Admission(_MORE_THAN_ZERO, at_most("1h"), max_length=12)]
"""A duration of whole seconds, for what Kubernetes itself measures."""

CpuQuantity = Annotated[
    str, BeforeValidator(str), Field(pattern=_CPU_PATTERN), _NumberOrText(_CPU_PATTERN, _QUANTITY_RULE, maximum=10**6 - 1)
]
MemoryQuantity = Annotated[
    str, BeforeValidator(str), Field(pattern=_MEMORY_PATTERN), _NumberOrText(_MEMORY_PATTERN, _QUANTITY_RULE, maximum=10**15 - 1)
]
Percentage = Annotated[str, BeforeValidator(str), Field(pattern=_PERCENTAGE_PATTERN), _NumberOrText(_PERCENTAGE_PATTERN, maximum=100)]
"""A share in hundredths, such as `1` or `99.9`; a fraction must be quoted, because the API knows no floats in custom resources."""
CountOrPercent = Annotated[
    int | Annotated[str, Field(pattern=_COUNT_OR_PERCENT_PATTERN)], _NumberOrText(_COUNT_OR_PERCENT_PATTERN, maximum=1000)
]
"""A number of pods, or a share of them."""

ObjectName = Annotated[str, Admission(min_length=1, max_length=253, pattern=_OBJECT_NAME_PATTERN)]
DataKey = Annotated[str, Admission(min_length=1, max_length=253, pattern=_DATA_KEY_PATTERN)]
Cidr = Annotated[
    str,
    Admission(("isCIDR(self) && cidr(self) == cidr(self).masked()", "must be a network such as 10.0.0.0/8"), min_length=1, max_length=43),
]
Labels = Annotated[dict[str, Annotated[str, Admission(max_length=63)]], Admission(_QUALIFIED_KEYS, _LABEL_VALUES, max_properties=32)]
FurtherLabels = Annotated[Labels, Admission(_NOT_OURS, _NOT_SELECTED_BY)]
"""Labels of an object of ours, beside those that the operator sets."""
Annotations = Annotated[dict[str, Annotated[str, Admission(max_length=4096)]], Admission(_QUALIFIED_KEYS, _NOT_OURS, max_properties=32)]


class Model(BaseModel):
    """A frozen part of the resource: snake_case here, camelCase on the wire; unknown fields of newer versions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)
