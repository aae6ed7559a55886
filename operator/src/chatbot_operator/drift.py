"""What differs between an intended child and the live one, and why: our fields only, spelled as the API server spells them."""

from chatbot_operator import names
from chatbot_operator.resource import Manifest


def differences(intended: Manifest, live: Manifest | None) -> tuple[str, ...]:
    """Return a reason for each difference that an apply would repair; empty when there is nothing to do."""
    if live is None:
        return ("missing",)
    annotations = live["metadata"].get("annotations") or {}
    if annotations.get(names.INTENT_ANNOTATION) != intended["metadata"]["annotations"][names.INTENT_ANNOTATION]:
        return ("intent changed",)
    return ()
