"""What to do about a key that is missing or refused: the command, for the messages of conditions."""

from typing import Final

from chatbot_operator.resource import ChatbotDeployment

_INTO_EXISTING: Final = "--dry-run=client --output=yaml | kubectl apply --filename=-"


def create_secret_hint(resource: ChatbotDeployment) -> str:
    """Return what to do about a missing key; whether its Secret exists is not known here, since no Secret is read."""
    return f"Create it: {_secret_command(resource)} (if the Secret exists without that key, append {_INTO_EXISTING})"


def replace_secret_hint(resource: ChatbotDeployment) -> str:
    """Return what to do about a key that the API refuses."""
    return f"Put a valid one there: {_secret_command(resource)} {_INTO_EXISTING}"


def _secret_command(resource: ChatbotDeployment) -> str:
    secret = resource.spec.credentials.secret_ref
    return f"kubectl create secret generic {secret.name} --namespace {resource.namespace} --from-literal={secret.key}=…"
