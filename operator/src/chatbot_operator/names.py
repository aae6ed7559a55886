"""Every derived name, label, selector and annotation key. One place, so that nothing is spelled twice.

Resource names are at most 50 characters (a rule of the CRD), which leaves room for every suffix here.
"""

from typing import Final

FIELD_MANAGER: Final = "chatbot-operator"

INTENT_ANNOTATION: Final = "chatbot.dev/intent-hash"
RECONCILE_ANNOTATION: Final = "chatbot.dev/reconcile"
PROMPT_HASH_ANNOTATION: Final = "chatbot.dev/system-prompt-hash"
ADOPT_LABEL: Final = "chatbot.dev/adopt"

NAME_LABEL: Final = "app.kubernetes.io/name"
INSTANCE_LABEL: Final = "app.kubernetes.io/instance"
COMPONENT_LABEL: Final = "app.kubernetes.io/component"
PART_OF_LABEL: Final = "app.kubernetes.io/part-of"
MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
POD_TEMPLATE_HASH_LABEL: Final = "pod-template-hash"
REVISION_ANNOTATION: Final = "deployment.kubernetes.io/revision"
"""The Deployment's controller counts its rollouts by it: it moves with the pod template only, before there are pods of it."""
NAMESPACE_NAME_LABEL: Final = "kubernetes.io/metadata.name"

OWNED_SELECTOR: Final = f"{MANAGED_BY_LABEL}={FIELD_MANAGER}"

CONTAINER: Final = "chatbot"


def selector_labels(name: str) -> dict[str, str]:
    """Return the labels that select the pods of the resource `name`; immutable once a Deployment exists."""
    return {NAME_LABEL: "chatbot", INSTANCE_LABEL: name, MANAGED_BY_LABEL: FIELD_MANAGER}


def labels(name: str) -> dict[str, str]:
    """Return the labels of every child of the resource `name`, a superset of `selector_labels`."""
    return {**selector_labels(name), COMPONENT_LABEL: "chat-service", PART_OF_LABEL: "chatbot-operator"}


def selector(name: str) -> str:
    """Return `selector_labels` in the API's query form, as the scale subresource wants it."""
    return ",".join(f"{key}={value}" for key, value in sorted(selector_labels(name).items()))


def operator_labels() -> dict[str, str]:
    """Return the labels by which network policies know the operator's own pods."""
    return {NAME_LABEL: "chatbot-operator"}


def deployment(name: str) -> str:
    """Return the Deployment's name."""
    return name


def service(name: str) -> str:
    """Return the Service's name, which is also the host part of the endpoint."""
    return name


def service_account(name: str) -> str:
    """Return the name of the pods' ServiceAccount."""
    return name


def pod_disruption_budget(name: str) -> str:
    """Return the PodDisruptionBudget's name."""
    return name


def network_policy(name: str) -> str:
    """Return the NetworkPolicy's name."""
    return name


def ingress(name: str) -> str:
    """Return the Ingress's name."""
    return name


def pod_monitor(name: str) -> str:
    """Return the PodMonitor's name."""
    return name


def client_token_secret(name: str) -> str:
    """Return the name of the Secret that the operator creates with a token for the clients."""
    return f"{name}-client-token"


def prompt_config_map(name: str) -> str:
    """Return the name of the ConfigMap that holds the inline system prompt."""
    return f"{name}-prompt"
