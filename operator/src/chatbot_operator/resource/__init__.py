"""The custom resource as frozen models: what a user may write (spec) and what the operator answers (status).

`crd.py` makes the schema of the CRD from these models, so a description here is what `kubectl explain` prints, a bound here
is enforced by the API server, and a cross-field rule is written once, in CEL, beside the fields that it guards.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

import orjson
from pydantic import ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from chatbot_operator.errors import SpecInvalid
from chatbot_operator.resource.pods import DrainSpec
from chatbot_operator.resource.spec import ChatbotSpec
from chatbot_operator.resource.status import (
    BORN,
    BreakerState,
    ChatbotStatus,
    Condition,
    CredentialsState,
    CredentialsStatus,
    ModelState,
    SloStatus,
    State,
    UpstreamStatus,
    UsageStatus,
)
from chatbot_operator.resource.values import DURATION_PATTERN, SPELLINGS, Manifest, Model, duration_milliseconds, duration_seconds, rules

__all__ = [
    "API_VERSION",
    "DURATION_PATTERN",
    "GROUP",
    "KIND",
    "MAX_NAME_LENGTH",
    "PLURAL",
    "VERSION",
    "BreakerState",
    "ChatbotDeployment",
    "ChatbotResource",
    "ChatbotSpec",
    "ChatbotStatus",
    "Condition",
    "CredentialsState",
    "CredentialsStatus",
    "DrainSpec",
    "Manifest",
    "Model",
    "ModelState",
    "SloStatus",
    "State",
    "UpstreamStatus",
    "UsageStatus",
    "duration_milliseconds",
    "duration_seconds",
    "rules",
]

GROUP = "chatbot.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ChatbotDeployment"
PLURAL = "chatbotdeployments"

MAX_NAME_LENGTH = 50

_ALTERNATIVES = ("int", "constrained-str")
"""What pydantic adds to the place of a value that may be one thing or the other."""


class ChatbotResource(Model):
    """A chat service on Claude: apply one, get hardened, scaled pods behind a Service, and a status that tells the truth."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                f"size(self.metadata.name) <= {MAX_NAME_LENGTH} && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                f"metadata.name names a Service: at most {MAX_NAME_LENGTH} lower-case letters, digits and hyphens, a letter first",
            ),
        )
    )

    spec: ChatbotSpec = Field(
        description="What you want. Every field has a default; {} is a complete chat service. Durations are written like 1m30s or 250ms."
    )
    status: ChatbotStatus = Field(default=BORN, description="What the operator found; written by the operator alone.")


@dataclass(frozen=True)
class ChatbotDeployment:
    """One ChatbotDeployment as it was last seen; `status` is kept as the API has it."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: ChatbotSpec
    status: Manifest = field(default_factory=dict)

    @classmethod
    def from_manifest(cls, manifest: Manifest) -> Self:
        """Return the resource in `manifest`, or raise SpecInvalid that names every field that no child could be rendered from.

        A value that only the API server's rules refuse is read: the resource may be older than the rule.
        """
        metadata = manifest["metadata"]
        try:
            spec = _spec(orjson.dumps(manifest.get("spec") or {}))
        except ValidationError as error:
            problems = "; ".join(_complaint(item) for item in error.errors(include_url=False))
            raise SpecInvalid(f"{metadata['namespace']}/{metadata['name']}: {problems}") from error
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            generation=metadata.get("generation", 0),
            spec=spec,
            status=manifest.get("status") or {},
        )


@lru_cache(maxsize=256)
def _spec(encoded: bytes) -> ChatbotSpec:
    """Return the spec in JSON; a resource is read several times on its way to Ready, and many are alike."""
    return ChatbotSpec.model_validate(orjson.loads(encoded))


def _complaint(item: ErrorDetails) -> str:
    """Return what is wrong with one field, in the words of the API server where there are such."""
    steps = (part for part in item["loc"] if part not in _ALTERNATIVES)
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    message = SPELLINGS.get(item.get("ctx", {}).get("pattern", ""), item["msg"].removeprefix("Value error, "))
    return f"spec{path}: {message}"
