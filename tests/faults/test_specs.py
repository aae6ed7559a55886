"""Any spec that somebody may send: refused with words when it is applied, carried out, or explained in a condition, within seconds."""

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from chatbot_operator import errors
from chatbot_operator.resource import KIND, Manifest
from tests.faults.apiserver import Refused, deviations, is_observed
from tests.faults.conftest import SEED, new_name, size
from tests.faults.junk import spoiled
from tests.faults.supervised import Supervised
from tests.specs import specs

pytestmark = pytest.mark.faults

SPECS = size(quick=200, full=2_000)
AT_ONCE = 10
EXPLAINED_SECONDS = 5
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


def create(supervisor: Supervised, chunk: Iterable[Manifest]) -> tuple[list[str], list[tuple[Refused, Manifest]]]:
    """Create a resource of each spec; return the names of the resources, and what was refused."""
    names, refusals = [], []
    for spec in chunk:
        name = new_name("spec")
        try:
            supervisor.team.create(name, spec)
        except Refused as refused:
            refusals.append((refused, spec))
        else:
            names.append(name)
    return names, refusals


def not_carried_out(supervisor: Supervised, names: Iterable[str], *, or_explained: bool) -> dict[str, Any]:
    """Return what is missing of the resources; of those with a condition that says why, nothing is if `or_explained`."""
    children, found = supervisor.team.children(), {}
    for name in names:
        resource = supervisor.team.get(KIND, name)
        assert resource is not None
        if or_explained and is_stalled(resource):
            continue
        try:
            wrong = deviations(resource, children.get(resource["metadata"]["uid"], []), settings=supervisor.settings)
        except errors.SpecInvalid as error:
            wrong = [str(error)]
        if wrong:
            found[name] = wrong, resource["spec"]
    return found


def is_stalled(resource: Manifest) -> bool:
    """Tell whether the status says of the newest generation why it cannot be carried out."""
    conditions = (resource.get("status") or {}).get("conditions") or ()
    return is_observed(resource) and any(each["type"] == "Stalled" and each["message"] for each in conditions)


def chunks(drawn: list[Manifest]) -> Iterator[list[Manifest]]:
    remaining = iter(drawn)
    while chunk := list(itertools.islice(remaining, AT_ONCE)):
        yield chunk


def wait_while_written(supervisor: Supervised, missing: Callable[[], dict[str, Any]]) -> None:
    """Return when nothing is missing; fail when something is though the operator has not written for so long, on however slow a machine."""
    written, since = -1, 0.0
    while found := missing():
        if len(supervisor.proxy.written) != written:
            written, since = len(supervisor.proxy.written), time.monotonic()
        if time.monotonic() - since > EXPLAINED_SECONDS:
            pytest.fail(f"SEED={SEED}: nothing written for {EXPLAINED_SECONDS} s, and not carried out: {found}")
        time.sleep(0.05)


def carry_out(supervisor: Supervised, drawn: list[Manifest], *, or_explained: bool = False) -> list[tuple[Refused, Manifest]]:
    """Create all, a few at once, and see each that is accepted carried out, or explained, in time; return what was refused."""
    refused = []
    for chunk in chunks(drawn):
        names, refusals = create(supervisor, chunk)
        refused += refusals
        wait_while_written(supervisor, partial(not_carried_out, supervisor, names, or_explained=or_explained))
        for name in names:
            supervisor.team.delete(KIND, name)
    return refused


def test_valid_specs_are_accepted_and_carried_out(supervisor: Supervised) -> None:
    assert carry_out(supervisor, draw(specs, math.ceil(SPECS / 4))) == []


def test_spoiled_specs_are_refused_or_carried_out_or_explained(supervisor: Supervised) -> None:
    drawn = draw(spoiled, SPECS)

    refused = carry_out(supervisor, drawn, or_explained=True)

    assert 0 < len(refused) < len(drawn)
    assert [(str(refusal), spec) for refusal, spec in refused if refusal.status not in REFUSALS] == []
