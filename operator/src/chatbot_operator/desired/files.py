"""The files of a chat pod: each one key of a Secret or a ConfigMap, and the variable that names it.

Each is mounted as a directory of its own, never by subPath: kubelet then renews the file when its source changes.
"""

from dataclasses import dataclass
from typing import Final

from chatbot_operator import names
from chatbot_operator.desired.client_tokens import client_tokens_reference
from chatbot_operator.desired.configuration import PROMPT_KEY
from chatbot_operator.resource import ChatbotDeployment, Manifest

ROOT: Final = "/etc/chatbot"

_GROUP_READABLE: Final = 0o440


@dataclass(frozen=True)
class MountedFile:
    """A file of the pods, the volume that holds it, and the variable by which the service finds it."""

    volume: str
    file: str
    variable: str
    source: Manifest

    @property
    def directory(self) -> str:
        """Return where the volume is mounted."""
        return f"{ROOT}/{self.volume}"

    @property
    def path(self) -> str:
        """Return where the service reads the file."""
        return f"{self.directory}/{self.file}"


def mounted_files(resource: ChatbotDeployment) -> tuple[MountedFile, ...]:
    """Return every file that the resource's pods are given."""
    files = (_api_key(resource), _system_prompt(resource), _ca_bundle(resource), _client_tokens(resource))
    return tuple(file for file in files if file is not None)


def _api_key(resource: ChatbotDeployment) -> MountedFile:
    reference, file = resource.spec.credentials.secret_ref, "anthropic-api-key"
    return MountedFile("credentials", file, "ANTHROPIC_API_KEY_FILE", _of_secret(reference.name, reference.key, file))


def _system_prompt(resource: ChatbotDeployment) -> MountedFile | None:
    spec, file = resource.spec, "system-prompt"
    if spec.system_prompt is not None:
        source = _of_config_map(names.prompt_config_map(resource.name), PROMPT_KEY, file)
    elif spec.system_prompt_from is not None:
        reference = spec.system_prompt_from.config_map_key_ref
        source = _of_config_map(reference.name, reference.key, file)
    else:
        return None
    return MountedFile("prompt", file, "SYSTEM_PROMPT_FILE", source)


def _ca_bundle(resource: ChatbotDeployment) -> MountedFile | None:
    reference, file = resource.spec.upstream.ca_bundle_ref, "ca.crt"
    if reference is None:
        return None
    return MountedFile("ca-bundle", file, "ANTHROPIC_CA_FILE", _of_config_map(reference.name, reference.key, file))


def _client_tokens(resource: ChatbotDeployment) -> MountedFile | None:
    reference, file = client_tokens_reference(resource), "tokens"
    if reference is None:
        return None
    return MountedFile("client-tokens", file, "CLIENT_TOKENS_FILE", _of_secret(reference.name, reference.key, file))


def _of_secret(name: str, key: str, file: str) -> Manifest:
    """Return a volume source; without the Secret the pods start and say so in their report, and take the file once it is there."""
    items = [{"key": key, "path": file}]
    return {"secret": {"secretName": name, "optional": True, "defaultMode": _GROUP_READABLE, "items": items}}


def _of_config_map(name: str, key: str, file: str) -> Manifest:
    """Return a volume source; without the ConfigMap the pods wait, because they would do something else than what is wanted."""
    return {"configMap": {"name": name, "defaultMode": _GROUP_READABLE, "items": [{"key": key, "path": file}]}}
