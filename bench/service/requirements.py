"""What is required of the service in a run, and what is hoped for."""

from bench.service.candidates import BARE, GO_PROXY, LITELLM, SDK_DEFAULT, SERVICE
from bench.service.figures import Check, Figure, Held, Loaded, Run

REQUIRED_STREAMS = 5000
MOST_MB = 400.0


def checks(run: Run) -> list[Check]:
    """Return every requirement with what was measured."""
    turns = run.in_turns()
    return [
        Check("event ÷ Go proxy", turns.ratio(SERVICE, GO_PROXY, Figure.EVENT_US), 2.5, 1.6),
        Check("event ÷ LiteLLM", run.ratio(SERVICE, LITELLM, Figure.EVENT_US), 1 / 3),
        Check("request ÷ SDK default", run.ratio(SERVICE, SDK_DEFAULT, Figure.REQUEST_US), 0.65),
        Check("request ÷ LiteLLM", run.ratio(SERVICE, LITELLM, Figure.REQUEST_US), 0.1, digits=3),
        Check("request ÷ Go proxy", turns.ratio(SERVICE, GO_PROXY, Figure.REQUEST_US), None, 2.3),
        Check("all features, µs a request", turns.difference(SERVICE, BARE, Figure.REQUEST_US), 60, digits=0),
        Check("all features, µs an event", turns.difference(SERVICE, BARE, Figure.EVENT_US), 5, digits=1),
        Check("request beside 1 000 streams ÷ alone", run.growth(SERVICE, Figure.BESIDE_US, since=Figure.ALONE_US), 1.2),
        Check("CPU until live, s", _thousandth(run.median(SERVICE, Figure.LIVE_CPU_MS)), 0.3),
        Check("CPU until ready, s", _thousandth(run.median(SERVICE, Figure.READY_CPU_MS)), 1.5),
        Check("idle, MB", run.median(SERVICE, Figure.IDLE_MB), 100, digits=0),
        *_of_streams(run),
    ]


def checks_at_capacity(loaded: Loaded) -> list[Check]:
    """Return what is required at the load that the costs allow for."""
    return [
        Check("at capacity, CPU, % of the core", loaded.cpu_percent, 80, digits=1),
        Check("at capacity, MB", loaded.megabytes, MOST_MB, digits=0),
        Check("at capacity, requests and streams failed or missing", loaded.lost, 0, digits=0),
        Check("at capacity, % of the load not served", loaded.percent_not_served, 2, digits=1),
    ]


def _of_streams(run: Run) -> list[Check]:
    return [check for held in run.worst_held(SERVICE) for check in _of_held(held)]


def _of_held(held: Held) -> list[Check]:
    """Return what is asked of so many streams: up to REQUIRED_STREAMS it is required, above them a goal."""
    streams = f"{held.asked:,} open streams".replace(",", " ")
    figures = (
        (f"{streams}, failed or missing", float(max(held.failed, held.asked - held.open)), 0.0),
        (f"{streams}, MB", held.megabytes, MOST_MB),
    )
    if held.asked <= REQUIRED_STREAMS:
        return [Check(what, measured, limit, digits=0) for what, measured, limit in figures]
    return [Check(what, measured, None, limit, digits=0) for what, measured, limit in figures]


def _thousandth(value: float | None) -> float | None:
    return None if value is None else value / 1000
