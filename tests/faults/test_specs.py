"""Any spec that somebody may send: refused with words when it is applied, carried out, or explained in a condition, within seconds."""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import hypothesis
import pytest
from hypothesis import strategies as st

from chatbot_operator import errors
from chatbot_operator.resource import KIND, Manifest
from tests.faults.apiserver import Refused, deviations, is_observed
from tests.faults.conftest import SEED, new_name, size
from tests.faults.junk import spoiled
from tests.faults.pressure import Stopwatch
from tests.faults.supervised import Supervised
from tests.specs import specs

pytestmark = pytest.mark.faults

SPECS = size(quick=200, full=2_000)
AT_ONCE = 4
EXPLAINED_SECONDS = 5
"""From the creation of each."""
REFUSALS = range(400, 500)


def draw(strategy: st.SearchStrategy[Manifest], number: int) -> list[Manifest]:
    """Return examples of a strategy, always the same ones for a SEED, with at most two pods."""
    found: list[Manifest] = []

    @hypothesis.seed(SEED)
    @hypothesis.settings(max_examples=number, phases=[hypothesis.Phase.generate], database=None)
    @hypothesis.given(strategy)
    def collect(spec: Manifest) -> None:
        found.append({**spec, "replicas": len(found) % 3})

    collect()
    return found


@pytest.fixture(scope="module", autouse=True)
def no_pods(supervisor: Supervised) -> None:
    """Keep the controllers from making pods, which nobody looks at here."""
    supervisor.team.plane.kubectl("create", "quota", "no-pods", "--hard=pods=0", f"--namespace={supervisor.team.namespace}")


def missing(supervisor: Supervised, name: str, *, or_explained: bool) -> list[str]:
    """Return what is missing of a resource; with a condition that says why, nothing is if `or_explained`."""
    resource = supervisor.team.get(KIND, name)
    if resource is None or not is_observed(resource):
        return ["a status of this generation"]
    if or_explained and is_stalled(resource):
        return []
    try:
        return deviations(resource, supervisor.team.children_of(name), settings=supervisor.settings)
    except errors.SpecInvalid as error:
        return [str(error)]


def is_stalled(resource: Manifest) -> bool:
    """Tell whether the status says why the resource cannot be carried out."""
    conditions = (resource.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Stalled" and each["message"] for each in conditions)


def carry_out(supervisor: Supervised, spec: Manifest, *, or_explained: bool = False) -> Refused | None:
    """Create a resource and see it carried out, or explained, in time; return why it was refused instead."""
    name, since = new_name("spec"), Stopwatch()
    try:
        supervisor.team.create(name, spec)
    except Refused as refused:
        return refused
    while lacking := missing(supervisor, name, or_explained=or_explained):
        assert not since.exceeds(EXPLAINED_SECONDS), f"SEED={SEED}: after {EXPLAINED_SECONDS} s there lacks {lacking} of {spec}"
        time.sleep(0.05)
    supervisor.team.delete(KIND, name)
    return None


def carry_out_all(supervisor: Supervised, drawn: list[Manifest], *, or_explained: bool = False) -> list[tuple[Refused, Manifest]]:
    """Carry out each of the specs, a few at a time; return those that were refused."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(partial(carry_out, supervisor, or_explained=or_explained), drawn))
    return [(refused, spec) for refused, spec in zip(outcomes, drawn, strict=True) if refused]


def test_valid_specs_are_accepted_and_carried_out(supervisor: Supervised) -> None:
    assert carry_out_all(supervisor, draw(specs, math.ceil(SPECS / 4))) == []


def test_spoiled_specs_are_refused_or_carried_out_or_explained(supervisor: Supervised) -> None:
    drawn = draw(spoiled, SPECS)

    refused = carry_out_all(supervisor, drawn, or_explained=True)

    assert 0 < len(refused) < len(drawn)
    assert [(str(refusal), spec) for refusal, spec in refused if refusal.status not in REFUSALS] == []
