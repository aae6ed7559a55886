"""Requests drawn from the service's own description, valid and not, by schemathesis: every answer is one that is described."""

import importlib
from types import ModuleType
from typing import Any

import hypothesis
import pytest
from hypothesis import given

from tests.service.conftest import Service
from tests.soak.conftest import size
from tests.soak.description import describe

pytestmark = pytest.mark.soak

CASES = size(quick=1_000, full=10_000)


@pytest.fixture
def schemathesis() -> ModuleType:
    """The library, imported for those alone who need it: it takes a second of CPU."""
    return importlib.import_module("schemathesis")


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_every_answer_is_one_that_is_described(attacked: Service, mode: str, schemathesis: ModuleType) -> None:
    operation = schemathesis.openapi.from_dict(describe())["/api/chat"]["POST"]
    checks = importlib.import_module("schemathesis.specs.openapi.checks")
    beyond_a_schema = [checks.positive_data_acceptance]  # one of two fields, the last role: the description cannot say it
    session = importlib.import_module("requests").Session()
    session.trust_env = False

    @hypothesis.settings(max_examples=CASES // 2)
    @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode)))
    def ask(case: Any) -> None:
        case.call_and_validate(base_url=f"http://127.0.0.1:{attacked.port}", session=session, timeout=5, excluded_checks=beyond_a_schema)

    with session:
        ask()
