"""Nothing happens, so nothing is written: the operator of the whole session's resting resources is looked at as late as possible.

No pod has an address here; those that are polled and say nothing new are in tests/cluster/test_fleet.py.
"""

import time
from datetime import UTC, datetime

import pytest

from tests.faults.audit import writes
from tests.faults.conftest import Resting, size
from tests.waiting import wait_until

pytestmark = pytest.mark.faults

IDLE_SECONDS = size(quick=60, full=600)


def test_idle_operator_writes_nothing(resting: Resting) -> None:
    left = IDLE_SECONDS - (datetime.now(UTC) - resting.since).total_seconds()
    ends_at = time.monotonic() + left
    wait_until(lambda: time.monotonic() >= ends_at, seconds=IDLE_SECONDS + 5)

    assert [write for write in writes(resting.plane, resting.user) if write.ended >= resting.since] == []
