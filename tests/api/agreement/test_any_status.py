"""Any status that the operator can derive is read alike by kstatus, Argo CD and whoever looks at Ready, at any generation."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_operator.fleet import FleetHealth
from chatbot_operator.observed import Observed
from chatbot_operator.resource import Manifest
from chatbot_operator.resource.status import BORN
from tests.api.agreement.health import Health, health
from tests.observations import conditions_of, derived, fleets, observations
from tests.resources import manifest_of, resource_of

pytestmark = pytest.mark.api

BORN_STATUS = BORN.model_dump(by_alias=True, exclude_none=True, mode="json")
HANDS_OFF = {"annotations": {"chatbot.dev/reconcile": "disabled"}}


@pytest.fixture(scope="module")
def both() -> Iterator[Health]:
    with health() as both:
        yield both


@given(
    passes=st.lists(st.tuples(observations, fleets), max_size=2),
    replicas=st.integers(0, 4),
    generation=st.integers(1, 2),
    annotations=st.sampled_from([{}, HANDS_OFF]),
)
def test_every_status_is_read_alike(
    both: Health, passes: list[tuple[Observed, FleetHealth]], replicas: int, generation: int, annotations: dict[str, dict[str, str]]
) -> None:
    status: Manifest = BORN_STATUS
    for observed, fleet in passes:
        status = derived(observed, fleet, resource=resource_of({"replicas": replicas}, status=status))

    seen = both.verdict(manifest_of({"replicas": replicas}, status=status, metadata={"generation": generation} | annotations))

    assert seen.kstatus == _expected(status, generation)
    waits = "Suspended" if annotations else "Progressing"
    assert seen.argo == {"Current": "Healthy", "Failed": "Degraded", "InProgress": waits}[seen.kstatus]
    assert seen.message


def _expected(status: Manifest, generation: int) -> str:
    conditions = conditions_of(status) if "conditions" in status else {}
    if status["observedGeneration"] != generation:
        return "InProgress"
    if "Stalled" in conditions:
        return "Failed"
    return "Current" if conditions["Ready"][0] == "True" else "InProgress"


@pytest.mark.parametrize("status", [None, {}, {"observedGeneration": 1}, {"observedGeneration": 1, "conditions": []}])
def test_argo_waits_while_nothing_is_known(both: Health, status: Manifest | None) -> None:
    assert both.verdict(manifest_of({}, status=status)).argo == "Progressing"


def test_argo_shows_what_ready_says(both: Health) -> None:
    status = derived(Observed())

    assert both.verdict(manifest_of(status=status)).message == status["summary"]
