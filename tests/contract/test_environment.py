"""The operator's half of the contract, read by the service's own settings: every value round-trips."""

import math
from typing import Any

from hypothesis import given

from chatbot_operator.desired import desired_state
from chatbot_operator.desired.environment import build_environment
from chatbot_operator.resource import ChatbotDeployment, duration_milliseconds
from chatbot_service.settings import Settings as ServiceSettings
from tests.resources import SETTINGS, resource_of, resources

# Set by Kubernetes in each pod; the operator only says where they come from.
FROM_THE_POD = {"POD_UID", "POD_TEMPLATE_HASH"}


def _container(resource: ChatbotDeployment) -> dict[str, Any]:
    deployment = next(child for child in desired_state(resource, SETTINGS, 2) if child["kind"] == "Deployment")
    container: dict[str, Any] = deployment["spec"]["template"]["spec"]["containers"][0]
    return container


@given(resource=resources)
def test_service_reads_what_the_spec_says(resource: ChatbotDeployment) -> None:
    spec = resource.spec

    settings = ServiceSettings.from_environment(build_environment(resource))

    assert settings.service_name == resource.name
    assert (settings.port, settings.admin_port, settings.admin_host) == (8080, 9090, "0.0.0.0")
    assert settings.anthropic_base_url == spec.upstream.base_url.rstrip("/")
    assert settings.claude_model == spec.model.name
    assert settings.claude_max_tokens == spec.model.max_tokens
    assert settings.claude_effort == spec.model.effort
    assert math.isclose(settings.drain_delay * 1000, duration_milliseconds(spec.drain.delay))
    assert math.isclose(settings.drain_timeout * 1000, duration_milliseconds(spec.drain.timeout))
    assert (settings.system_prompt_file is None) == (spec.system_prompt is None)


@given(resource=resources)
def test_every_variable_is_one_that_the_service_knows(resource: ChatbotDeployment) -> None:
    known = {field.upper() for field in ServiceSettings.model_fields}

    rendered = [variable["name"] for variable in _container(resource)["env"]]

    assert set(rendered) <= known
    assert len(set(rendered)) == len(rendered)
    assert set(rendered) >= FROM_THE_POD


def test_files_lie_where_the_environment_says() -> None:
    resource = resource_of({"systemPrompt": "Be brief."})
    settings = ServiceSettings.from_environment(build_environment(resource))

    mounts = {mount["mountPath"] for mount in _container(resource)["volumeMounts"]}

    for file in (settings.anthropic_api_key_file, settings.system_prompt_file):
        assert file is not None
        assert file.rpartition("/")[0] in mounts


def test_probes_and_service_meet_the_ports_of_the_service() -> None:
    settings = ServiceSettings.from_environment(build_environment(resource_of()))

    ports = {port["name"]: port["containerPort"] for port in _container(resource_of())["ports"]}

    assert ports == {"http": settings.port, "admin": settings.admin_port}
