"""What a resource and the service's environment leave out means the same in both: a chatbot behaves alike with and without the operator."""

import pytest

from chatbot_operator.desired.environment import build_environment
from chatbot_service.settings import Settings
from tests.resources import resource_of

# What is different in a pod: its name, its address, and where its key lies.
OF_A_POD = {"service_name", "admin_host", "anthropic_api_key_file"}
IN_A_POD = Settings.from_environment(build_environment(resource_of({})))
ALONE = Settings.from_environment({})


@pytest.mark.parametrize("field", sorted(Settings.model_fields.keys() - OF_A_POD))
def test_default_of_the_resource_is_that_of_the_service(field: str) -> None:
    assert getattr(IN_A_POD, field) == getattr(ALONE, field)
