"""The API server is gone for a moment, or its etcd stands still: the operator outlives it in the same process."""

from collections.abc import Iterator

import pytest

from tests.faults.conftest import size
from tests.faults.outages import Fragile, Outage, fragile, gone, standing_still, survive

pytestmark = pytest.mark.faults

FREEZE_SECONDS = size(quick=6.0, full=60.0)
GONE_SECONDS = 10.0


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fragile]:
    with fragile(tmp_path_factory.mktemp("fragile")) as operated:
        yield operated


@pytest.mark.parametrize(
    ("outage", "seconds"), [(standing_still, FREEZE_SECONDS), (gone, GONE_SECONDS)], ids=["etcd frozen", f"gone for {GONE_SECONDS:g} s"]
)
def test_outage_is_survived_in_process(operated: Fragile, outage: Outage, seconds: float) -> None:
    survive(operated, outage, seconds)
