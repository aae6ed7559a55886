"""No variable of a resource's `env` can change what the operator told the service."""

import re

import pytest

from chatbot_operator.resource.pods import RESERVED_PATTERN
from chatbot_service.settings import Settings


@pytest.mark.parametrize("name", [field.upper() for field in Settings.model_fields])
def test_every_setting_of_the_service_is_reserved(name: str) -> None:
    assert re.match(RESERVED_PATTERN, name)
