"""On which nodes the pods run, and what keeps too many of them from going at once."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, WithJsonSchema

from chatbot_operator.resource.values import Admission, Labels, Model, ObjectName, rules

Affinity = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})]
"""Passed on as it is: its shape belongs to Kubernetes, and is checked with the Deployment."""

LabelKey = Annotated[str, Admission(max_length=316)]


class PodDisruptionBudgetSpec(Model):
    """Whether node drains take one pod at a time."""

    enabled: bool | None = Field(
        default=None,
        description="Whether there is a PodDisruptionBudget. Unset: at two replicas or more, since below it could only block a drain.",
        examples=[False],
    )


class TopologySpreadSpec(Model):
    """Whether the pods are spread over nodes and zones."""

    enabled: bool | None = Field(
        default=None,
        description="Whether the scheduler prefers to spread the pods over nodes and zones. Unset means true.",
        examples=[False],
    )


class Toleration(Model):
    """A taint that the pods put up with."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.key) || has(self.operator) && self.operator == 'Exists'", "key may be left out with operator Exists alone"),
            ("!has(self.value) || !has(self.operator) || self.operator == 'Equal'", "value must be left out with operator Exists"),
            (
                "!has(self.tolerationSeconds) || has(self.effect) && self.effect == 'NoExecute'",
                "tolerationSeconds is for effect NoExecute alone",
            ),
        )
    )

    key: LabelKey | None = Field(
        default=None, description="Key of the taint; unset with operator Exists means every taint.", examples=["dedicated"]
    )
    operator: Literal["Equal", "Exists"] | None = Field(
        default=None, description="Equal compares the value, too (what Kubernetes assumes); Exists takes any.", examples=["Exists"]
    )
    value: Annotated[str, Admission(max_length=63)] | None = Field(
        default=None, description="Value of the taint, for operator Equal.", examples=["chat"]
    )
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint; unset means every effect.", examples=["NoSchedule"]
    )
    toleration_seconds: Annotated[int, Admission(minimum=0, maximum=2_147_483_647)] | None = Field(
        default=None,
        description="How long a pod stays on a node that gets the taint, for effect NoExecute. Unset means for ever.",
        examples=[60],
    )


class SchedulingSpec(Model):
    """On which nodes the pods run."""

    node_selector: Labels = Field(default={}, description="Labels that a node must have.", examples=[{"kubernetes.io/arch": "amd64"}])
    tolerations: Annotated[tuple[Toleration, ...], Admission(max_items=32)] = Field(
        default=(), description="Taints that the pods put up with.", examples=[[{"key": "dedicated", "operator": "Exists"}]]
    )
    affinity: Affinity | None = Field(
        default=None,
        description="Affinity of the pods, written as in a pod and passed on as it is (see kubectl explain pod.spec.affinity).",
        examples=[{"nodeAffinity": {}}],
    )
    priority_class_name: ObjectName | None = Field(
        default=None, description="PriorityClass of the pods: which go first when a node is full.", examples=["business-critical"]
    )
