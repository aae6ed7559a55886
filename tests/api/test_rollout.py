"""The command lines that conditions give to people work as they stand."""

import json
import shlex

import pytest

from chatbot_operator.hints import create_secret_hint, replace_secret_hint
from devcluster.controlplane import ControlPlane
from tests.resources import resource_of

pytestmark = pytest.mark.api

REFERENCES = [("chatbot-secrets", "anthropic-api-key"), ("0.a-b.c", "-key"), ("s", ".k_9.key"), ("s" * 253, "k" * 253)]


def _arguments(hint: str, *, until: str) -> list[str]:
    line = hint[hint.index("kubectl ") : hint.index(until)]
    return shlex.split(line)[1:]


@pytest.mark.parametrize(("name", "key"), REFERENCES, ids=["usual", "hyphen first", "dot first", "longest"])
def test_hints_put_the_key_where_the_pods_look_for_it(control_plane: ControlPlane, namespace: str, name: str, key: str) -> None:
    resource = resource_of({"credentials": {"secretRef": {"name": name, "key": key}}}, namespace=namespace)

    control_plane.kubectl(*_arguments(create_secret_hint(resource), until=" (if"))
    replaced = control_plane.kubectl(*_arguments(replace_secret_hint(resource), until=" | "))
    control_plane.kubectl("apply", "--filename=-", input=replaced)

    secret = json.loads(control_plane.kubectl("get", "secret", name, f"--namespace={namespace}", "--output=json"))
    assert list(secret["data"]) == [key]


def test_hint_for_a_missing_key_keeps_what_else_the_secret_holds(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl("create", "secret", "generic", "chatbot-secrets", f"--namespace={namespace}", "--from-literal=other=1")
    hint = create_secret_hint(resource_of(namespace=namespace))
    appended = shlex.split(hint[hint.index("append ") + len("append ") : hint.index(" | ")])

    manifest = control_plane.kubectl(*_arguments(hint, until=" (if"), *appended)
    control_plane.kubectl("apply", "--filename=-", input=manifest)

    secret = json.loads(control_plane.kubectl("get", "secret", "chatbot-secrets", f"--namespace={namespace}", "--output=json"))
    assert set(secret["data"]) == {"other", "anthropic-api-key"}
