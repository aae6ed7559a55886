"""Any spec that somebody may send: refused with words when it is applied, carried out, or explained in a condition, within seconds."""

import math
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

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

SPOILED, VALID = size(quick=160, full=1_600), size(quick=40, full=400)
AT_ONCE = 4
MOST_SECONDS = 15
"""From the creation of each until it is carried out or explained, on a machine that others use, too."""
EXPLAINED_SECONDS = 5
"""The same for most of them."""
MOST = size(quick=0.9, full=0.99)
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


@dataclass(frozen=True)
class Outcome:
    """What became of a spec: why it was refused, or how long it took."""

    spec: Manifest
    refused: Refused | None = None
    seconds: float = 0.0


def carry_out(supervisor: Supervised, spec: Manifest, *, or_explained: bool = False) -> Outcome:
    """Create a resource, unless it is refused, and see it carried out, or explained, in time."""
    name, since = new_name("spec"), time.monotonic()
    try:
        supervisor.team.create(name, spec)
    except Refused as refused:
        return Outcome(spec, refused)
    while lacking := missing(supervisor, name, or_explained=or_explained):
        assert time.monotonic() - since < MOST_SECONDS, f"SEED={SEED}: after {MOST_SECONDS} s there lacks {lacking} of {spec}"
        time.sleep(0.05)
    seconds = time.monotonic() - since
    supervisor.team.delete(KIND, name)
    return Outcome(spec, seconds=seconds)


def carry_out_all(supervisor: Supervised, drawn: list[Manifest], *, or_explained: bool = False) -> list[Outcome]:
    """Carry out each of the specs, a few at a time."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(partial(carry_out, supervisor, or_explained=or_explained), drawn))


def assert_in_time(outcomes: list[Outcome], report: pytest.CaptureFixture[str]) -> None:
    """Say how long it took, and hold that to the promise."""
    seconds = sorted(outcome.seconds for outcome in outcomes if outcome.refused is None)
    p50, most, p99 = (seconds[math.ceil(share * len(seconds)) - 1] for share in (0.5, MOST, 0.99))
    with report.disabled():
        sys.stdout.write(f"\n{len(seconds)} specs: p50 {p50:.2f} s, p99 {p99:.2f} s, at most {seconds[-1]:.2f} s\n")
    assert most < EXPLAINED_SECONDS


def test_valid_specs_are_accepted_and_carried_out(supervisor: Supervised, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = carry_out_all(supervisor, draw(specs, VALID))

    assert [outcome for outcome in outcomes if outcome.refused] == []
    assert_in_time(outcomes, capsys)


def test_spoiled_specs_are_refused_or_carried_out_or_explained(supervisor: Supervised, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = carry_out_all(supervisor, draw(spoiled, SPOILED), or_explained=True)

    refused = [outcome for outcome in outcomes if outcome.refused]
    assert 0 < len(refused) < len(outcomes)
    assert [outcome for outcome in outcomes if outcome.refused and outcome.refused.status not in REFUSALS] == []
    assert_in_time(outcomes, capsys)
