"""What kstatus makes of an object, by the generic rules of cli-utils (pkg/kstatus/status: generic.go, core.go), by which Helm waits."""

from typing import Literal

from chatbot_operator.resource import Manifest

Verdict = Literal["Terminating", "InProgress", "Failed", "Current"]


def verdict_of(manifest: Manifest) -> Verdict:
    """Return the verdict; the first rule that has something to say wins."""
    metadata, status = manifest["metadata"], manifest.get("status") or {}
    conditions = {condition["type"]: condition["status"] for condition in status.get("conditions") or ()}
    if "deletionTimestamp" in metadata:
        return "Terminating"
    if "observedGeneration" in status and status["observedGeneration"] != metadata["generation"]:
        return "InProgress"
    if conditions.get("Reconciling") == "True":
        return "InProgress"
    if conditions.get("Stalled") == "True":
        return "Failed"
    return "Current" if conditions.get("Ready", "True") == "True" else "InProgress"
