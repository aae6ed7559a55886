"""A run as Markdown."""

from collections.abc import Callable, Mapping, Sequence

from bench.operator.candidates import CONTROLLER_RUNTIME, FLOOR, OPERATOR
from bench.operator.figures import Figure, Run, Verb
from bench.operator.requirements import checks
from bench.service.tables import markdown, number, render_checks

_Cell = Callable[[str, int], str]


def render(run: Run, *, about: Sequence[str]) -> str:
    """Return the whole report; `about` says how it all was measured."""
    parts = [
        "New resources:\n\n" + _table(run, _new(run)),
        "Requests to the API server for each new resource:\n\n" + _table(run, _requests(run)),
        "Changed specs and deleted children:\n\n" + _table(run, _changes(run)),
        "A restart beside all resources, and what follows without any change:\n\n" + _table(run, _rest(run)),
        f"As ratios to {CONTROLLER_RUNTIME}, the median of each round's:\n\n" + _table(run, _ratios(run)),
        "What is required of the operator, by number of resources:\n\n" + render_checks(checks(run)),
        *_remarks(run),
        "\n".join(f"- {line}" for line in about),
    ]
    return "\n\n".join(parts) + "\n"


def _new(run: Run) -> Mapping[str, _Cell]:
    return {
        "CPU ms a resource to Ready": _median(run, Figure.READY_CPU_MS, 2),
        f"÷ {FLOOR}": _ratio(run, FLOOR, Figure.READY_CPU_MS),
        "created → Ready, p50 / p99 s": _pair(run, Figure.READY_P50_SECONDS, Figure.READY_P99_SECONDS, 1),
        "memory, MB": _median(run, Figure.MEMORY_MB, 0),
        "requests a resource": lambda name, size: number(run.requests(name, size), 2),
    }


def _requests(run: Run) -> Mapping[str, _Cell]:
    return {verb.value: _verb(run, verb) for verb in Verb}


def _changes(run: Run) -> Mapping[str, _Cell]:
    return {
        "change → child, p50 / p99 ms": _pair(run, Figure.CHANGE_P50_MS, Figure.CHANGE_P99_MS),
        "CPU ms a change": _median(run, Figure.CHANGE_CPU_MS, 2),
        "status writes a change": _median(run, Figure.CHANGE_STATUS_WRITES, 2),
        "deleted → restored, p50 / p99 ms": _pair(run, Figure.RESTORE_P50_MS, Figure.RESTORE_P99_MS),
    }


def _rest(run: Run) -> Mapping[str, _Cell]:
    return {
        "restart, s": _median(run, Figure.RESTART_SECONDS, 1),
        "CPU ms": _median(run, Figure.RESTART_CPU_MS, 0),
        "writes": _median(run, Figure.RESTART_WRITES, 0),
        "memory, MB": _median(run, Figure.RESTART_MEMORY_MB, 0),
        "idle, % of a core": _median(run, Figure.IDLE_CPU_PERCENT, 2),
        "idle writes": _median(run, Figure.IDLE_WRITES, 0),
        "polling 1 000 pods every 10 s, % of a core": _median(run, Figure.POLL_CPU_PERCENT, 2),
    }


def _ratios(run: Run) -> Mapping[str, _Cell]:
    figures = {
        "CPU to Ready": Figure.READY_CPU_MS,
        "memory": Figure.MEMORY_MB,
        "change p99": Figure.CHANGE_P99_MS,
        "CPU a change": Figure.CHANGE_CPU_MS,
        "restored p99": Figure.RESTORE_P99_MS,
        "restart": Figure.RESTART_SECONDS,
        "idle CPU": Figure.IDLE_CPU_PERCENT,
        "polling": Figure.POLL_CPU_PERCENT,
    }
    return {what: _ratio(run, CONTROLLER_RUNTIME, figure) for what, figure in figures.items()}


def _remarks(run: Run) -> list[str]:
    lines = [f"- {name}: {note}" for name in run.candidates() for note in run.notes(name)]
    return ["Remarks:\n\n" + "\n".join(lines)] if lines else []


def _median(run: Run, figure: Figure, digits: int) -> _Cell:
    return lambda name, size: number(run.median(name, size, figure), digits)


def _ratio(run: Run, unit: str, figure: Figure) -> _Cell:
    return lambda name, size: number(run.ratio(name, unit, size, figure), 2)


def _pair(run: Run, first: Figure, second: Figure, digits: int = 0) -> _Cell:
    return lambda name, size: " / ".join(number(run.median(name, size, figure), digits) for figure in (first, second))


def _verb(run: Run, verb: Verb) -> _Cell:
    return lambda name, size: number(run.requests(name, size, verb), 2)


def _table(run: Run, columns: Mapping[str, _Cell]) -> str:
    """Return a row for each candidate and number of resources of which there is anything to tell."""
    order = [name for name in (OPERATOR, CONTROLLER_RUNTIME, FLOOR) if name in run.candidates()]
    rows = [[name, str(size), *(cell(name, size) for cell in columns.values())] for size in run.sizes() for name in order]
    return markdown(["candidate", "resources", *columns], [row for row in rows if set("".join(row[2:])) - set("- /")])
