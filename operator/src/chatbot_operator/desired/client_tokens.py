"""The tokens that clients show: which Secret holds them, and that Secret itself where nobody named one.

A generated Secret is no child like the others: it is created once and never read, compared, sealed or pruned, because the
operator may read no Secret. It goes with the resource by its owner reference.
"""

from typing import Final

from chatbot_operator import names
from chatbot_operator.desired.ownership import build_child
from chatbot_operator.resource import ChatbotDeployment, Manifest
from chatbot_operator.resource.traffic import ClientTokensReference

GENERATED_KEY: Final = "tokens"


def client_tokens_reference(resource: ChatbotDeployment) -> ClientTokensReference | None:
    """Return the key of the Secret that holds the tokens, or None where clients need none."""
    if resource.spec.client_auth.mode == "None":
        return None
    generated = ClientTokensReference(name=names.client_token_secret(resource.name), key=GENERATED_KEY)
    return resource.spec.client_auth.secret_ref or generated


def desired_secret(resource: ChatbotDeployment, token: str) -> Manifest | None:
    """Return the Secret that lets in who shows `token`, or None where there is nothing to generate."""
    if not resource.spec.client_auth.is_generated:
        return None
    name = names.client_token_secret(resource.name)
    head = build_child(resource, api_version="v1", kind="Secret", name=name)
    return head | {"type": "Opaque", "stringData": {GENERATED_KEY: f"{token}\n"}}
