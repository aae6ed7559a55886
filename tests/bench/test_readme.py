"""What the README and the page on operations say of the benchmarks, against the results that are checked in."""

from pathlib import Path

from bench.service.phases import FULL

ROOT = Path(__file__).parents[2]
RESULTS = (ROOT / "bench" / "service" / "results.md").read_text()


def rows(text: str, *, columns: str) -> dict[str, list[str]]:
    """Return the rows of the table whose first line has `columns`, by candidate; of several with one name the first."""
    lines = iter(text.splitlines())
    for line in lines:
        if columns in line:
            break
    found: dict[str, list[str]] = {}
    for line in lines:
        if not line.startswith("|"):
            break
        first, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        found.setdefault(first.partition(" (")[0], cells)
    return found


def test_what_is_quoted_met_what_is_required() -> None:
    assert "| met |" in RESULTS
    assert "MISSED" not in RESULTS


def test_the_readme_quotes_the_results() -> None:
    required = rows(RESULTS, columns="| what | required")
    ratios = rows(RESULTS, columns="request ÷ Go proxy | request")
    idle = rows(RESULTS, columns="| idle, MB |")
    held = rows(RESULTS, columns="| asked | held |")
    readme = (ROOT / "README.md").read_text()
    quoted = rows(readme, columns="a request | a streamed event")
    del quoted["---"]
    against_go = required["request ÷ Go proxy"][2], required["event ÷ Go proxy"][2]

    assert "a request costs {} and an event {} of the Go proxy's".format(*against_go) in readme
    assert "chatbot-service" in quoted
    assert quoted == {name: [ratios[name][0], ratios[name][3], idle[name][2], held.get(name, ["-"])[-1]] for name in quoted}


def test_the_page_on_operations_quotes_the_load_at_capacity() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    measured = rows(RESULTS, columns="| open streams | events a second |")

    assert rows(page, columns="| open streams | events a second |") == measured, "copy the row from bench/service/results.md"
    assert "chatbot-service" in measured
    assert page.partition("≤ 1 000 000")[2].splitlines()[0].endswith(f" {FULL.share}")
