"""What is required of the operator in a run, and what is hoped for."""

from bench.operator.candidates import CONTROLLER_RUNTIME, OPERATOR
from bench.operator.figures import Figure, Run, Verb
from bench.service.figures import Check

CHILDREN = 5
MOST_RESOURCES = 2000
"""Up to here memory and restart are bounded."""
UP_TO = f" (up to {MOST_RESOURCES} resources)"


def checks(run: Run) -> list[Check]:
    """Return every requirement with what was measured."""
    sizes = run.sizes()
    found = [check for size in sizes for check in _of_size(run, size)]
    if len(sizes) > 1:
        what = f"growth of the CPU time to Ready from {sizes[0]} to {sizes[-1]} resources, exponent"
        found.append(Check(what, run.exponent(OPERATOR, Figure.READY_CPU_MS), 1.1))
    return found


def _of_size(run: Run, size: int) -> list[Check]:
    found = [
        Check("CPU to Ready ÷ controller-runtime", run.ratio(OPERATOR, CONTROLLER_RUNTIME, size, Figure.READY_CPU_MS), 1.0, 0.8),
        Check("change → child p99 ÷ controller-runtime", run.ratio(OPERATOR, CONTROLLER_RUNTIME, size, Figure.CHANGE_P99_MS), 1.3),
        Check("deleted → restored p99, s", _thousandth(run.median(OPERATOR, size, Figure.RESTORE_P99_MS)), 1.0),
        Check("applies of a new resource", run.requests(OPERATOR, size, Verb.APPLY), CHILDREN),
        Check("status writes of a new resource", run.requests(OPERATOR, size, Verb.STATUS), 1.0),
        Check("other requests of a new resource", _others(run, size), 0.0),
        Check("status writes of a change", run.median(OPERATOR, size, Figure.CHANGE_STATUS_WRITES), 2.0),
        Check("restart, writes", run.median(OPERATOR, size, Figure.RESTART_WRITES), 0.0, digits=0),
        Check("idle, writes", run.median(OPERATOR, size, Figure.IDLE_WRITES), 0.0, digits=0),
        Check("idle, % of a core", run.median(OPERATOR, size, Figure.IDLE_CPU_PERCENT), 0.5),
        Check("polling 1 000 pods every 10 s, % of a core", run.median(OPERATOR, size, Figure.POLL_CPU_PERCENT), 2.5),
    ]
    if size <= MOST_RESOURCES:
        found += [
            Check(f"memory{UP_TO}, MB", run.median(OPERATOR, size, Figure.MEMORY_MB), 200, digits=0),
            Check(f"memory after a restart{UP_TO}, MB", run.median(OPERATOR, size, Figure.RESTART_MEMORY_MB), 200, digits=0),
            Check(f"restart{UP_TO}, s", run.median(OPERATOR, size, Figure.RESTART_SECONDS), 10.0, digits=1),
        ]
    return [Check(f"{size}: {check.what}", check.measured, check.required, check.goal, check.digits) for check in found]


def _others(run: Run, size: int) -> float | None:
    total, needed = (run.requests(OPERATOR, size), [run.requests(OPERATOR, size, verb) for verb in (Verb.APPLY, Verb.STATUS)])
    return None if total is None else total - sum(each or 0.0 for each in needed)


def _thousandth(value: float | None) -> float | None:
    return None if value is None else value / 1000
