"""What the demo puts on a cluster and takes away again: images, the operator by Helm, one chatbot, without a key also the simulator.

What it makes carries the label `chatbot.dev/demo`; on a cluster that is not ours nothing without it is touched.
"""

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devcluster.archive import read_images
from devcluster.target import Target
from scripts.commands import ROOT, Failed, Tools

CHART = ROOT / "charts" / "chatbot-operator"
CRD = "chatbotdeployments.chatbot.dev"
OPERATOR, SERVICE, SIMULATOR = "chatbot-operator", "general-purpose-chatbot", "anthropic-simulator"
IMAGES = (SERVICE, OPERATOR, SIMULATOR)
RELEASE, SYSTEM_NAMESPACE = "chatbot-operator", "chatbot-system"
NAMESPACE, CHATBOT = "chatbot-demo", "general-purpose-chatbot"
SECRET, SECRET_KEY = "chatbot-secrets", "anthropic-api-key"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
DEMO_LABEL, IMAGES_ANNOTATION = "chatbot.dev/demo", "chatbot.dev/demo-images"
FIELD_MANAGER = "chatbot-demo"


@dataclass(frozen=True)
class Images:
    """The built images: what stands before their names on the cluster, their tag, and a digest of what is in them."""

    prefix: str
    version: str
    digest: str

    def reference(self, name: str) -> str:
        """Return how a pod calls the image `name`."""
        return f"{self.prefix}{name}:{self.version}"


def built_images(target: Target) -> Images:
    """Return the images as `scripts/images.py` left them. Raises devcluster's ArchiveInvalid when one is missing."""
    identities = [image.identity for name in IMAGES for image in read_images(archive(name))]
    digest = hashlib.sha256("".join(identities).encode()).hexdigest()[:16]
    return Images(target.image_prefix, (ROOT / "VERSION").read_text(encoding="utf-8").strip(), digest)


def archive(name: str) -> Path:
    """Return where the image `name` lies."""
    return ROOT / ".build" / "images" / f"{name}.tar"


def prepare(target: Target, tools: Tools, images: Images) -> str:
    """Make the namespaces and give the cluster the images, unless the namespace says that it has them; return what was done."""
    _refuse_foreign_namespaces(tools)
    known = get(tools, "namespace", NAMESPACE).get("metadata", {}).get("annotations", {}).get(IMAGES_ANNOTATION)
    if known == images.digest:
        return "unchanged"
    target.load_images([archive(name) for name in IMAGES])
    for namespace in (SYSTEM_NAMESPACE, NAMESPACE):
        apply(tools, _namespace(namespace, images))
    if known:  # the tag is the same: only new pods take the new images
        tools.kubectl("rollout", "restart", "deployment", f"--namespace={NAMESPACE}")
    return "loaded"


def install_operator(tools: Tools, images: Images) -> str:
    """Install or upgrade the chart, unless the deployed release came from the same chart, values and images; return what was done."""
    values = {
        "image.repository": images.prefix + OPERATOR,
        "image.tag": images.version,
        "serviceImage.repository": images.prefix + SERVICE,
        "serviceImage.tag": images.version,
        r"podAnnotations.chatbot\.dev/images": images.digest,
    }
    description = f"demo {_chart_digest(values)}"
    if _deployed_description(tools) == description:
        return "unchanged"
    tools.helm(
        *("upgrade", RELEASE, str(CHART), "--install", "--wait", "--timeout=3m"),
        *(f"--namespace={SYSTEM_NAMESPACE}", f"--description={description}"),
        *(f"--set-string={name}={value}" for name, value in values.items()),
    )
    return "installed"


def apply_chatbot(tools: Tools, images: Images, key: str) -> None:
    """Apply the Secret and the resource; without a key also the simulator, which then is the upstream."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET},
        "data": {SECRET_KEY: b64encode((key or "demo").encode()).decode()},
    }
    apply(tools, secret)
    if not key:
        image = re.compile(rf"image: {SIMULATOR}:\S+")
        apply(tools, image.sub(f"image: {images.reference(SIMULATOR)}", _example("simulator.yaml")))
    apply(tools, _example("minimal.yaml" if key else "demo.yaml"))


def remove(tools: Tools, *, others_too: bool) -> None:
    """Delete the chatbot, the operator, the definition and the namespaces, in this order, each one waited for.

    `others_too` says that chatbots outside the demo may go with the definition; without it they make this raise Failed.
    """
    if get(tools, "customresourcedefinition", CRD):
        if not others_too:
            _refuse_others(tools)
        tools.kubectl("delete", "chatbot", "--all", f"--namespace={NAMESPACE}", "--timeout=3m")
    tools.helm("uninstall", RELEASE, f"--namespace={SYSTEM_NAMESPACE}", "--ignore-not-found", "--wait", "--timeout=3m")
    tools.kubectl("delete", "customresourcedefinition", CRD, "--ignore-not-found", "--timeout=3m")
    # A namespace that still has pods is looked at again only after half their grace period, which is minutes.
    tools.kubectl("delete", "deployment", "--all", f"--namespace={NAMESPACE}", "--timeout=1m")
    tools.kubectl("wait", "pods", "--all", "--for=delete", f"--namespace={NAMESPACE}", "--timeout=6m")
    tools.kubectl("delete", "namespace", f"--selector={DEMO_LABEL}", "--ignore-not-found", "--timeout=5m")


def get(tools: Tools, kind: str, name: str, *arguments: str) -> dict[str, Any]:
    """Return the object, or an empty one when there is none."""
    return tools.kubectl_json("get", kind, name, "--ignore-not-found", *arguments)


def apply(tools: Tools, manifest: Mapping[str, Any] | str) -> None:
    """Apply server-side from standard input, so that a field which an earlier run gave and this one does not is removed."""
    text = manifest if isinstance(manifest, str) else json.dumps(manifest)
    options = ("--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}", f"--namespace={NAMESPACE}")
    tools.kubectl("apply", *options, "--filename=-", stdin=text)


def _namespace(name: str, images: Images) -> dict[str, Any]:
    labels = {DEMO_LABEL: "true"} | RESTRICTED
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels, "annotations": {IMAGES_ANNOTATION: images.digest}},
    }


def _refuse_foreign_namespaces(tools: Tools) -> None:
    """Raise Failed when one of the demo's namespaces belongs to somebody else."""
    for name in (SYSTEM_NAMESPACE, NAMESPACE):
        found = get(tools, "namespace", name)
        if found and DEMO_LABEL not in found["metadata"].get("labels", {}):
            raise Failed(
                f"the namespace {name} is there and not the demo's (it has no label {DEMO_LABEL}): use another cluster, or remove it first"
            )


def _refuse_others(tools: Tools) -> None:
    items = tools.kubectl_json("get", "chatbot", "--all-namespaces")["items"]
    others = [f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in items if item["metadata"]["namespace"] != NAMESPACE]
    if others:
        raise Failed(f"removing the demo would delete {', '.join(others)} too: delete them first")


def _chart_digest(values: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for path in sorted(path for path in CHART.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(CHART)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _deployed_description(tools: Tools) -> str | None:
    """Return the description of the release if it is deployed; a failed or unfinished one is installed anew."""
    releases = json.loads(tools.helm("list", f"--namespace={SYSTEM_NAMESPACE}", f"--filter=^{RELEASE}$", "--deployed", "--output=json"))
    if not releases:
        return None
    status = json.loads(tools.helm("status", RELEASE, f"--namespace={SYSTEM_NAMESPACE}", "--output=json"))
    description: str | None = status["info"].get("description")
    return description


def _example(name: str) -> str:
    return (ROOT / "examples" / name).read_text(encoding="utf-8")
