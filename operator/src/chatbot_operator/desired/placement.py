"""On which nodes the pods may run, and how they are spread over them."""

from typing import Any

from chatbot_operator import names
from chatbot_operator.resource import ChatbotDeployment, Manifest
from chatbot_operator.resource.placement import Toleration

SPREAD_OVER = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")


def build_placement(resource: ChatbotDeployment) -> Manifest:
    """Return the fields of the pod that the scheduler goes by; what the user left out is left out."""
    scheduling = resource.spec.scheduling
    fields: Manifest = {
        "topologySpreadConstraints": _spread(resource),
        "nodeSelector": scheduling.node_selector,
        "tolerations": [_toleration(toleration) for toleration in scheduling.tolerations],
        "affinity": without_nulls(scheduling.affinity or {}),
        "priorityClassName": scheduling.priority_class_name,
    }
    return {name: value for name, value in fields.items() if value}


def without_nulls(value: Any) -> Any:
    """Return `value` without the keys that hold null, which the API server drops: they would differ for ever."""
    if isinstance(value, dict):
        return {key: without_nulls(part) for key, part in value.items() if part is not None}
    return [without_nulls(part) for part in value] if isinstance(value, list) else value


def _spread(resource: ChatbotDeployment) -> list[Manifest]:
    if resource.spec.topology_spread.enabled is False:
        return []
    return [
        {
            "maxSkew": 1,
            "topologyKey": topology_key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": names.selector_labels(resource.name)},
            "matchLabelKeys": [names.POD_TEMPLATE_HASH_LABEL],
        }
        for topology_key in SPREAD_OVER
    ]


def _toleration(toleration: Toleration) -> Manifest:
    """Return the toleration as the API server keeps it: without what is empty."""
    fields = toleration.model_dump(by_alias=True)
    return {name: value for name, value in fields.items() if value not in (None, "")}
