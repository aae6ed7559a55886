"""What the pods are given beside their environment: an identity without rights, and the system prompt."""

from chatbot_operator import names
from chatbot_operator.desired.ownership import build_child
from chatbot_operator.resource import ChatbotDeployment, Manifest

PROMPT_KEY = "system-prompt"


def build_service_account(resource: ChatbotDeployment) -> Manifest:
    """Return the pods' ServiceAccount, which has no rights and mounts no token."""
    name = names.service_account(resource.name)
    return build_child(resource, api_version="v1", kind="ServiceAccount", name=name) | {"automountServiceAccountToken": False}


def build_prompt_config_map(resource: ChatbotDeployment) -> Manifest | None:
    """Return the ConfigMap that holds the inline system prompt, or None without one."""
    if resource.spec.system_prompt is None:
        return None
    name = names.prompt_config_map(resource.name)
    return build_child(resource, api_version="v1", kind="ConfigMap", name=name) | {"data": {PROMPT_KEY: resource.spec.system_prompt}}
