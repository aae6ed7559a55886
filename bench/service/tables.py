"""A run as Markdown."""

from collections.abc import Callable, Mapping, Sequence

from bench.service.candidates import GO_PROXY, LITELLM, SDK_DEFAULT, SERVICE
from bench.service.figures import Check, Costs, Figure, Loaded, Run
from bench.service.requirements import checks, checks_at_capacity

_UNITS = (GO_PROXY, SDK_DEFAULT, LITELLM)
_Cell = Callable[[str], str]


def render(run: Run, *, missing: Mapping[str, str], about: Sequence[str]) -> str:
    """Return the whole report; `missing` says why a candidate was not run, `about` how it all was measured."""
    names = run.candidates()
    parts = [
        _costs(run, names),
        "CPU time as ratios, the median of each round's:\n\n" + _ratios(run, names),
        _footprint(run, names),
        "Streams held open at once:\n\n" + _held(run, names),
        "What is required of the service:\n\n" + render_checks(checks(run)),
        *_remarks(run, names, missing),
        "\n".join(f"- {line}" for line in about),
    ]
    return "\n\n".join(parts) + "\n"


def render_at_capacity(loaded: Loaded | None, *, about: Sequence[str]) -> str:
    """Return the part about the load that the service's costs allow for."""
    notes = dict.fromkeys(loaded.notes if loaded else ())
    return "\n\n".join(["## At capacity", *_of_load(loaded), "\n".join(f"- {line}" for line in (*notes, *about))]) + "\n"


def with_part(page: str, part: str) -> str:
    """Return `page` with `part` at its end, in the place of an earlier one under the same heading."""
    heading = part.partition("\n")[0]
    return f"{page.partition(heading)[0].rstrip()}\n\n{part}".lstrip()


def _of_load(loaded: Loaded | None) -> list[str]:
    if loaded is None:
        return []
    required = "What is required of the service:\n\n" + render_checks(checks_at_capacity(loaded))
    return [_over_tls(loaded.costs), "The load that they allow for:\n\n" + _at_capacity(loaded), required]


def _over_tls(costs: Costs) -> str:
    cells = {
        "over TLS": SERVICE,
        "CPU µs a request": number(costs.request_us, 0),
        "CPU µs an event": number(costs.event_us, 0),
        "idle, MB": number(costs.idle_mb, 0),
        "KiB an open stream": number(costs.stream_kib, 0),
    }
    return markdown(list(cells), [list(cells.values())])


def _at_capacity(loaded: Loaded) -> str:
    requests, events = (number(rate, 0) for rate in loaded.served)
    cells = {
        "candidate": SERVICE,
        "open streams": str(loaded.streams),
        "events a second": events,
        "requests a second": requests,
        "CPU, % of the core": number(loaded.cpu_percent, 1),
        "MB in all": number(loaded.megabytes, 0),
        "failed": str(loaded.lost),
        "a request, p50 / p99 ms": _both(loaded.request_ms),
        "an event, p50 / p99 ms": _both(loaded.event_ms),
    }
    return markdown(list(cells), [list(cells.values())])


def _both(latencies: tuple[float, float]) -> str:
    return " / ".join(number(value, 2) for value in latencies)


def _costs(run: Run, names: Sequence[str]) -> str:
    columns: dict[str, _Cell] = {
        "CPU µs a request": _median(run, Figure.REQUEST_US),
        "CPU µs an event": _median(run, Figure.EVENT_US),
        "in bursts of 20": _median(run, Figure.BURST_EVENT_US),
        "added to a request, p50 / p99 ms": _pair(run, Figure.REQUEST_ADDED_P50_MS, Figure.REQUEST_ADDED_P99_MS),
        "added to an event, p50 / p99 ms": _pair(run, Figure.EVENT_ADDED_P50_MS, Figure.EVENT_ADDED_P99_MS),
    }
    return _table("candidate", names, columns)


def _ratios(run: Run, names: Sequence[str]) -> str:
    columns: dict[str, _Cell] = {}
    for what, figure in (("request", Figure.REQUEST_US), ("event", Figure.EVENT_US)):
        for unit in _UNITS:
            columns[f"{what} ÷ {unit}"] = _ratio(run, unit, figure)
    return _table("candidate", names, columns)


def _footprint(run: Run, names: Sequence[str]) -> str:
    columns: dict[str, _Cell] = {
        "CPU until live, ms": _median(run, Figure.LIVE_CPU_MS),
        "until ready": _median(run, Figure.READY_CPU_MS),
        "idle, MB": _median(run, Figure.IDLE_MB),
        "KiB an open stream": _median(run, Figure.STREAM_KIB),
        "CPU µs a request alone": _median(run, Figure.ALONE_US),
        "beside 1 000 streams": _median(run, Figure.BESIDE_US),
        "ratio": lambda name: number(run.growth(name, Figure.BESIDE_US, since=Figure.ALONE_US), 2),
    }
    return _table("candidate", names, columns)


def _held(run: Run, names: Sequence[str]) -> str:
    rows = [
        [name, str(held.asked), str(held.open), str(held.failed), number(held.megabytes, 0)]
        for name in names
        for held in run.worst_held(name)
    ]
    return markdown(["candidate", "asked", "held", "failed", "MB in all"], rows)


def render_checks(found: Sequence[Check]) -> str:
    """Return the requirements with what was measured."""
    rows = [
        [check.what, *(number(value, check.digits) for value in (check.required, check.goal, check.measured)), check.verdict]
        for check in found
    ]
    return markdown(["what", "required ≤", "goal ≤", "measured", ""], rows)


def _remarks(run: Run, names: Sequence[str], missing: Mapping[str, str]) -> list[str]:
    lines = [f"- {name}: {note}" for name in names for note in run.notes(name)]
    lines += [f"- {name}: not run: {reason}" for name, reason in missing.items()]
    return ["Remarks:\n\n" + "\n".join(lines)] if lines else []


def _median(run: Run, figure: Figure) -> _Cell:
    return lambda name: number(run.median(name, figure), 0)


def _pair(run: Run, first: Figure, second: Figure) -> _Cell:
    return lambda name: f"{number(run.median(name, first), 2)} / {number(run.median(name, second), 2)}"


def _ratio(run: Run, unit: str, figure: Figure) -> _Cell:
    return lambda name: number(run.ratio(name, unit, figure), 2)


def number(value: float | None, digits: int) -> str:
    """Return a cell."""
    return "-" if value is None else f"{value:.{digits}f}"


def _table(first: str, names: Sequence[str], columns: Mapping[str, _Cell]) -> str:
    return markdown([first, *columns], [[name, *(cell(name) for cell in columns.values())] for name in names])


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first column names the row."""
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))
