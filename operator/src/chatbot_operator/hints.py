"""What to do about a key that is missing or refused: the command, for the messages of conditions."""

from chatbot_operator.resource import ChatbotDeployment


def create_secret_hint(resource: ChatbotDeployment) -> str:
    """Return what to do about a missing key; whether its Secret exists is not known here, since no Secret is read."""
    return f"Create it: {_secret_command(resource)} (if the Secret exists without that key, append {_into_existing(resource)})"


def replace_secret_hint(resource: ChatbotDeployment) -> str:
    """Return what to do about a key that the API refuses."""
    return f"Put a valid one there: {_secret_command(resource)} {_into_existing(resource)}"


def _secret_command(resource: ChatbotDeployment) -> str:
    secret = resource.spec.credentials.secret_ref
    return f"kubectl create secret generic {secret.name} --namespace {resource.namespace} --from-literal={secret.key}=…"


def _into_existing(resource: ChatbotDeployment) -> str:
    """Return what makes the command change a Secret that is there.

    `kubectl apply` would copy the key into an annotation; `kubectl replace` would drop what else the Secret holds.
    """
    secret = resource.spec.credentials.secret_ref
    patch = f"kubectl patch secret {secret.name} --namespace {resource.namespace} --patch-file=/dev/stdin"
    return f"--dry-run=client --output=yaml | {patch}"
