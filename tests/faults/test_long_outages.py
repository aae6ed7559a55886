"""The API server is gone for minutes; in a module of its own, since nothing but waiting is done in it, which others can be beside."""

from collections.abc import Iterator

import pytest

from tests.faults.conftest import SOAK
from tests.faults.outages import Fragile, fragile, gone, survive

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("resting")]  # whose idle time passes meanwhile

OUTAGES_SECONDS = (120.0, *((600.0,) if SOAK else ()))


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fragile]:
    with fragile(tmp_path_factory.mktemp("fragile")) as operated:
        yield operated


@pytest.mark.parametrize("seconds", OUTAGES_SECONDS, ids=lambda seconds: f"gone for {seconds:g} s")
def test_long_outage_is_survived_in_process(operated: Fragile, seconds: float) -> None:
    survive(operated, gone, seconds)
