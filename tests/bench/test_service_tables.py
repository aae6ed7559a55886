"""The benchmark's report, from values to Markdown."""

from dataclasses import replace

from bench.service.candidates import BARE, GO_PROXY, LITELLM, NGINX, SDK_DEFAULT, SERVICE
from bench.service.figures import Costs, Figure, Held, Loaded, Measured, Run
from bench.service.requirements import checks, checks_at_capacity
from bench.service.tables import render, render_at_capacity, with_part

OURS = Measured(
    {
        Figure.REQUEST_US: 150.0,
        Figure.EVENT_US: 64.0,
        Figure.REQUEST_ADDED_P50_MS: 0.234,
        Figure.REQUEST_ADDED_P99_MS: 1.5,
        Figure.LIVE_CPU_MS: 250.0,
        Figure.ALONE_US: 150.0,
        Figure.BESIDE_US: 165.0,
    },
    held=[Held(5000, 5000, 0, 180.4), Held(8000, 7990, 3, 280.0)],
)
ROUND = {
    SERVICE: OURS,
    BARE: Measured({Figure.REQUEST_US: 100.0, Figure.EVENT_US: 60.0}),
    GO_PROXY: Measured({Figure.REQUEST_US: 75.0, Figure.EVENT_US: 40.0}, held=[Held(5000, 5000, 0, 350.0)]),
    SDK_DEFAULT: Measured({Figure.REQUEST_US: 1500.0}, notes=["failed: cut"]),
    LITELLM: Measured({Figure.REQUEST_US: 8000.0, Figure.EVENT_US: 500.0}),
}
TURN = {
    SERVICE: Measured({Figure.REQUEST_US: 160.0, Figure.EVENT_US: 66.0}),
    BARE: Measured({Figure.REQUEST_US: 105.0, Figure.EVENT_US: 61.0}),
    GO_PROXY: Measured({Figure.REQUEST_US: 80.0, Figure.EVENT_US: 44.0}),
}


def verdicts(run: Run) -> dict[str, tuple[float | None, str]]:
    return {check.what: (check.measured, check.verdict) for check in checks(run)}


def test_every_requirement_is_compared_with_what_was_measured() -> None:
    found = verdicts(Run([ROUND], [TURN]))

    assert found == {
        "event ÷ Go proxy": (1.5, "goal met"),
        "event ÷ LiteLLM": (0.128, "met"),
        "request ÷ SDK default": (0.1, "met"),
        "request ÷ LiteLLM": (0.01875, "met"),
        "request ÷ Go proxy": (2.0, "goal met"),
        "all features, µs a request": (55.0, "met"),
        "all features, µs an event": (5.0, "met"),
        "request beside 1 000 streams ÷ alone": (1.1, "met"),
        "CPU until live, s": (0.25, "met"),
        "CPU until ready, s": (None, "not measured"),
        "idle, MB": (None, "not measured"),
        "5 000 open streams, failed or missing": (0.0, "met"),
        "5 000 open streams, MB": (180.4, "met"),
        "8 000 open streams, failed or missing": (10.0, "goal missed"),
        "8 000 open streams, MB": (280.0, "goal met"),
    }


def test_without_the_service_nothing_counts_as_met() -> None:
    assert {verdict for _, verdict in verdicts(Run([{GO_PROXY: ROUND[GO_PROXY]}])).values()} == {"not measured"}


def test_the_report_has_a_row_for_each_candidate_and_says_who_is_missing_and_why() -> None:
    text = render(Run([ROUND]), missing={NGINX: "nginx is not installed"}, about=["made by hand"])

    assert "| chatbot-service | 150 | 64 | - | 0.23 / 1.50 | - / - |" in text
    assert "| chatbot-service | 2.00 | 0.10 | 0.02 | 1.60 | - | 0.13 |" in text
    assert "| chatbot-service | 8000 | 7990 | 3 | 280 |" in text
    assert "| 8 000 open streams, failed or missing | - | 0 | 10 | goal missed |" in text
    assert "- SDK default: failed: cut\n- nginx: not run: nginx is not installed" in text
    assert text.endswith("- made by hand\n")


def test_every_row_of_a_table_has_as_many_cells_as_its_head() -> None:
    text = render(Run([ROUND]), missing={}, about=[])

    for table in (part for part in text.split("\n\n") if part.startswith("|")):
        assert len({line.count(" | ") for line in table.splitlines()}) == 1, table


LOADED = Loaded(
    Costs(request_us=152.4, event_us=109.6, idle_mb=91.2, stream_kib=67.6),
    streams=5000,
    lost=3,
    asked=(3000.0, 4000.0),
    served=(3012.4, 3968.75),
    request_ms=(1.5, 12.25),
    event_ms=(0.5, 6.125),
    cpu_percent=78.24,
    megabytes=240.4,
    notes=["failed: cut", "failed: cut"],
)


def test_what_is_required_at_capacity_is_compared_with_what_was_measured() -> None:
    found = {check.what: (check.measured, check.verdict) for check in checks_at_capacity(LOADED)}

    assert found == {
        "at capacity, CPU, % of the core": (78.24, "met"),
        "at capacity, MB": (240.4, "met"),
        "at capacity, requests and streams failed or missing": (3, "MISSED"),
        "at capacity, % of the load not served": (0.78125, "met"),
    }
    too_much = replace(LOADED, cpu_percent=80.1, megabytes=401, served=(2900.0, 4000.0))
    assert {check.verdict for check in checks_at_capacity(too_much)} == {"MISSED"}


def test_the_load_at_capacity_is_a_part_of_its_own_that_replaces_the_earlier_one() -> None:
    part = render_at_capacity(LOADED, about=["made by hand"])
    missing = render_at_capacity(None, about=["Not measured: go is not installed"])

    page = with_part(with_part("# The title\n\nAbove it.\n", missing), part)

    assert "| chatbot-service | 5000 | 3969 | 3012 | 78.2 | 240 | 3 | 1.50 / 12.25 | 0.50 / 6.12 |" in page
    assert "| chatbot-service | 152 | 110 | 91 | 68 |" in page
    assert page.startswith("# The title\n\nAbove it.\n\n## At capacity\n\n| over TLS | ")
    assert page.endswith("- failed: cut\n- made by hand\n")
    assert "go is not installed" in missing
    assert "go is not installed" not in page
