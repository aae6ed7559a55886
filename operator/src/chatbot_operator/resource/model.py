"""What the pods say and with whose account: the model, its system prompt, and the Anthropic API key."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from chatbot_operator.resource.values import Admission, DataKey, Model, ObjectName, rules

MAX_PROMPT_BYTES = 32 * 1024

# No comma: the service takes the fallback models as one list.
ModelName = Annotated[str, Admission(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][-A-Za-z0-9._:@/]*$")]
SystemPrompt = Annotated[
    str,
    Admission(
        (f"bytes(self).size() <= {MAX_PROMPT_BYTES}", f"must not exceed {MAX_PROMPT_BYTES} bytes of UTF-8"),
        (r"self.matches(r'\S')", "must not be blank: leave the field out for no system prompt"),
        min_length=1,
        max_length=MAX_PROMPT_BYTES,
    ),
]


class ModelSpec(Model):
    """Which model answers, and how much it may say."""

    model_config = ConfigDict(
        json_schema_extra=rules(("!has(self.fallbacks) || !(self.name in self.fallbacks)", "fallbacks must not name the model itself"))
    )

    name: ModelName = Field(
        default="claude-sonnet-5-5",
        description="Model that answers, by its API identifier; a model that the key may not use holds the rollout.",
        examples=["claude-haiku-5-5"],
    )
    max_tokens: Annotated[int, Admission(minimum=1, maximum=128_000)] = Field(
        default=1024, description="Upper bound of one answer, in tokens. A longer answer is cut there.", examples=[4096]
    )
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = Field(
        default=None,
        description="How much work the model puts into an answer: more is better, slower and dearer. Unset leaves it to the model.",
        examples=["medium"],
    )
    fallbacks: Annotated[tuple[ModelName, ...], Admission(max_items=3, **{"x-kubernetes-list-type": "set"})] = Field(
        default=(),
        description="Models to ask, in this order, when the model is overloaded or failing; the answer names the one that gave it.",
        examples=[["claude-haiku-5-5"]],
    )


class PromptKeyReference(Model):
    """One key of a ConfigMap in the resource's own namespace."""

    name: ObjectName = Field(
        description="Name of the ConfigMap, in the namespace of the resource. The pods wait until it exists.", examples=["product-prompt"]
    )
    key: DataKey = Field(
        default="system-prompt", description="Key within the ConfigMap that holds the instructions.", examples=["prompt.md"]
    )


class SystemPromptSource(Model):
    """Where the system prompt comes from, if it is not written into the resource."""

    config_map_key_ref: PromptKeyReference = Field(
        description="ConfigMap that holds the instructions. A changed text is taken up by the running pods, without a restart."
    )


class SecretKeyReference(Model):
    """One key of a Secret in the resource's own namespace."""

    name: ObjectName = Field(
        default="chatbot-secrets",
        description="Name of the Secret, in the namespace of the resource. It may be created later: the pods wait for it.",
        examples=["team-a-anthropic"],
    )
    key: DataKey = Field(
        default="anthropic-api-key", description="Key within the Secret that holds the Anthropic API key.", examples=["api-key"]
    )


class CredentialsSpec(Model):
    """Where the Anthropic API key comes from."""

    secret_ref: SecretKeyReference = Field(
        default=SecretKeyReference(),
        description="Secret that holds the Anthropic API key. A changed key is taken up by the running pods, without a restart.",
    )
