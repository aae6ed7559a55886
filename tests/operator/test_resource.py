from pathlib import Path

import pytest
import yaml
from hypothesis import given

from chatbot_operator.desired import desired_state
from chatbot_operator.errors import SpecInvalid
from chatbot_operator.resource import ChatbotDeployment, DrainSpec, Manifest, duration_milliseconds, duration_seconds
from tests.resources import SETTINGS, manifest_of, resource_of
from tests.specs import specs

TABLE = Path(__file__).parents[1] / "api" / "crd" / "refused.yaml"
REFUSED: dict[str, Manifest] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))


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
    resource = ChatbotDeployment.from_manifest(manifest_of(metadata={"generation": 7}, status={"state": "Ready"}))

    assert (resource.namespace, resource.name, resource.generation) == ("demo", "bot", 7)
    assert resource.status == {"state": "Ready"}


def test_wrong_spec_names_the_resource_and_every_field() -> None:
    with pytest.raises(SpecInvalid) as caught:
        resource_of({"replicas": "three", "model": {"maxTokens": "many"}})

    message = str(caught.value)
    assert message.startswith("demo/bot: ")
    assert "spec.replicas: " in message
    assert "spec.model.maxTokens: " in message


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"drain": {"delay": "1d"}}, "spec.drain.delay: must be a duration such as 1m30s or 250ms"),
        ({"probes": {"liveness": {"period": "5ms"}}}, "spec.probes.liveness.period: must be a duration of whole seconds such as 1m30s"),
        ({"resources": {"limits": {"cpu": "banana"}}}, "spec.resources.limits.cpu: must be cores or thousandths such as 1.5 or 250m"),
        ({"rollout": {"maxSurge": "many"}}, "spec.rollout.maxSurge: must be a number or a percentage such as 25%"),
        ({"env": [{"name": "A"}, {}]}, "spec.env[1].name: Field required"),
        ({"upstream": {"baseURL": "ftp://a"}}, "spec.upstream.baseURL: must be http(s)://host[:port][/path]"),
    ],
)
def test_wrong_value_is_explained(spec: Manifest, message: str) -> None:
    with pytest.raises(SpecInvalid) as caught:
        resource_of(spec)

    assert message in str(caught.value)


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED.keys())
def test_whatever_was_stored_under_other_rules_is_read_and_rendered_or_named(row: Manifest) -> None:
    outcome = _read(row["spec"])

    assert outcome.startswith("demo/bot: spec.") if isinstance(outcome, str) else desired_state(outcome, SETTINGS, 2)


def _read(spec: Manifest) -> ChatbotDeployment | str:
    """Return the resource, or what is wrong with it."""
    try:
        return resource_of(spec)
    except SpecInvalid as error:
        return str(error)


def test_values_beyond_a_newer_bound_are_kept() -> None:
    spec = resource_of(
        {"replicas": 1001, "systemPrompt": "x" * 40_000, "upstream": {"timeouts": {"idle": "1h"}}, "env": [{"name": "PORT"}]}
    ).spec

    assert (spec.replicas, len(spec.system_prompt or ""), spec.upstream.timeouts.idle, spec.env[0].name) == (1001, 40_000, "1h", "PORT")


@given(spec=specs)
def test_any_valid_spec_is_read(spec: Manifest) -> None:
    assert resource_of(spec).spec.model_dump(by_alias=True, exclude_unset=True, mode="json").keys() == spec.keys()


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


@pytest.mark.parametrize(("text", "seconds"), [("5s", 5), ("1ms", 1), ("1s1ms", 2), ("0s", 0)])
def test_seconds_of_a_duration_are_rounded_up(text: str, seconds: int) -> None:
    assert duration_seconds(text) == seconds
