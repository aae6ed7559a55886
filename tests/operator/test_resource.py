import pytest

from chatbot_operator.errors import SpecInvalid
from chatbot_operator.resource import ChatbotDeployment, DrainSpec, duration_milliseconds
from tests.resources import manifest_of, resource_of


def test_empty_spec_has_every_default() -> None:
    spec = resource_of({}).spec

    assert (spec.replicas, spec.model.name, spec.model.max_tokens) == (3, "claude-sonnet-5-5", 1024)
    assert spec.credentials.secret_ref.model_dump() == {"name": "chatbot-secrets", "key": "anthropic-api-key"}
    assert spec.upstream.base_url == "https://api.anthropic.com"
    assert spec.resources.model_dump() == {"requests": {"cpu": "250m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}


def test_each_resource_value_has_its_own_default() -> None:
    assert resource_of({"resources": {"limits": {"cpu": 2}}}).spec.resources.model_dump() == {
        "requests": {"cpu": "250m", "memory": "128Mi"},
        "limits": {"cpu": "2", "memory": "512Mi"},
    }


def test_metadata_is_read() -> None:
    manifest = manifest_of(
        metadata={"generation": 7, "annotations": {"a": "b"}, "deletionTimestamp": "2026-11-22T12:00:00Z"}, status={"state": "Ready"}
    )

    resource = ChatbotDeployment.from_manifest(manifest)

    assert (resource.namespace, resource.name, resource.generation, resource.deleting) == ("demo", "bot", 7, True)
    assert (resource.annotations, resource.status) == ({"a": "b"}, {"state": "Ready"})


def test_wrong_spec_names_the_resource_and_every_field() -> None:
    with pytest.raises(SpecInvalid) as caught:
        resource_of({"replicas": "three", "model": {"maxTokens": "many"}})

    message = str(caught.value)
    assert message.startswith("demo/bot: ")
    assert "spec.replicas: " in message
    assert "spec.model.maxTokens: " in message


def test_fields_of_a_newer_version_are_ignored() -> None:
    assert resource_of({"novelty": {"on": True}, "replicas": 2}).spec.replicas == 2


@pytest.mark.parametrize(("text", "milliseconds"), [("5s", 5000), ("1m30s", 90_000), ("250ms", 250), ("1h", 3_600_000), ("1s500ms", 1500)])
def test_durations_are_sums_of_their_parts(text: str, milliseconds: int) -> None:
    assert duration_milliseconds(text) == milliseconds


@pytest.mark.parametrize("text", ["", "5", "-5s", "1d", "5 s", "1.5s", "1s1s1s1s"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(SpecInvalid, match=r"spec\.drain\.delay"):
        resource_of({"drain": {"delay": text}})


def test_grace_covers_delay_and_timeout_and_is_whole_seconds() -> None:
    assert DrainSpec().grace_seconds == 310
    assert DrainSpec(delay="1ms", timeout="0s").grace_seconds == 6
