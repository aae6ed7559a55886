"""What the benchmark hears of resources that turn Ready."""

import threading
from typing import Any

import pytest

from bench.operator.api import Readiness


def event(name: str, *, generation: int = 1, ready: bool = True, kind: str = "MODIFIED") -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    status = {"observedGeneration": generation, "conditions": conditions}
    return {"type": kind, "object": {"metadata": {"name": name, "generation": generation}, "status": status}}


def test_as_many_as_were_asked_for_are_waited_for() -> None:
    readiness = Readiness()
    readiness.see(event("one"))
    readiness.see(event("two", ready=False))

    seen_later = threading.Timer(0.01, lambda: readiness.see(event("two")))
    seen_later.start()
    readiness.wait_for(2, seconds=10)
    seen_later.join()


@pytest.mark.parametrize("last", [event("two", ready=False), event("two", kind="DELETED")], ids=["unready again", "deleted"])
def test_who_is_not_ready_any_more_does_not_count(last: dict[str, Any]) -> None:
    readiness = Readiness()
    for seen in (event("one"), event("two"), last):
        readiness.see(seen)

    with pytest.raises(TimeoutError, match="1 resources were Ready after 0 s, 2 were awaited"):
        readiness.wait_for(2, seconds=0.0)
