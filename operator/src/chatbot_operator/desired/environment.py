"""The environment of a chat pod: the operator's half of the contract with the service's settings.

What the spec has no field for yet is not rendered, so the service's own default holds.
"""

from chatbot_operator import names
from chatbot_operator.desired.ports import ADMIN_PORT, HTTP_PORT
from chatbot_operator.resource import ChatbotDeployment, Manifest

KEY_DIRECTORY = "/etc/chatbot/credentials"
KEY_FILE = "anthropic-api-key"
PROMPT_DIRECTORY = "/etc/chatbot/prompt"
PROMPT_FILE = "system-prompt"


def build_environment(resource: ChatbotDeployment) -> dict[str, str]:
    """Return the variables whose value is known here, by name."""
    spec = resource.spec
    variables = {
        "SERVICE_NAME": resource.name,
        "PORT": str(HTTP_PORT),
        "ADMIN_PORT": str(ADMIN_PORT),
        "ADMIN_HOST": "0.0.0.0",
        "ANTHROPIC_BASE_URL": spec.upstream.base_url,
        "ANTHROPIC_API_KEY_FILE": f"{KEY_DIRECTORY}/{KEY_FILE}",
        "CLAUDE_MODEL": spec.model.name,
        "CLAUDE_MAX_TOKENS": str(spec.model.max_tokens),
        "DRAIN_DELAY": spec.drain.delay,
        "DRAIN_TIMEOUT": spec.drain.timeout,
    }
    if spec.model.effort is not None:
        variables["CLAUDE_EFFORT"] = spec.model.effort
    if spec.system_prompt is not None:
        variables["SYSTEM_PROMPT_FILE"] = f"{PROMPT_DIRECTORY}/{PROMPT_FILE}"
    return variables


def build_container_environment(resource: ChatbotDeployment) -> list[Manifest]:
    """Return the container's `env`: the variables, and what only the pod itself knows."""
    known: list[Manifest] = [{"name": name, "value": value} for name, value in build_environment(resource).items()]
    return [
        *known,
        _from_pod("POD_UID", "metadata.uid"),
        _from_pod("POD_TEMPLATE_HASH", f"metadata.labels['{names.POD_TEMPLATE_HASH_LABEL}']"),
    ]


def _from_pod(name: str, path: str) -> Manifest:
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}
