"""The operator's report, from values to Markdown."""

from bench.operator.candidates import CONTROLLER_RUNTIME, FLOOR, OPERATOR
from bench.operator.figures import Figure, Measured, Round, Run, Verb
from bench.operator.requirements import checks
from bench.operator.tables import render

OURS = Measured(
    {
        Figure.READY_CPU_MS: 3.0,
        Figure.MEMORY_MB: 130.4,
        Figure.RESTART_MEMORY_MB: 210.0,
        Figure.CHANGE_P50_MS: 20.0,
        Figure.CHANGE_P99_MS: 90.0,
        Figure.RESTORE_P99_MS: 40.0,
        Figure.RESTART_WRITES: 0.0,
        Figure.RESTART_SECONDS: 12.5,
        Figure.IDLE_CPU_PERCENT: 0.4,
    },
    {Verb.APPLY: 5.0, Verb.STATUS: 1.0, Verb.READ: 0.25},
)
GO = Measured({Figure.READY_CPU_MS: 4.0, Figure.CHANGE_P99_MS: 60.0}, {Verb.APPLY: 5.0}, notes=["2 of 100 were not seen"])
RUN = Run([Round(200, {CONTROLLER_RUNTIME: GO, FLOOR: Measured({Figure.READY_CPU_MS: 1.5}), OPERATOR: OURS})])


def test_every_requirement_is_compared_with_what_was_measured() -> None:
    found = {check.what: (check.measured, check.verdict) for check in checks(RUN)}

    assert found == {
        "200: CPU to Ready ÷ controller-runtime": (0.75, "goal met"),
        "200: change → child p99 ÷ controller-runtime": (1.5, "MISSED"),
        "200: deleted → restored p99, s": (0.04, "met"),
        "200: applies of a new resource": (5.0, "met"),
        "200: status writes of a new resource": (1.0, "met"),
        "200: other requests of a new resource": (0.25, "MISSED"),
        "200: status writes of a change": (None, "not measured"),
        "200: restart, writes": (0.0, "met"),
        "200: idle, writes": (None, "not measured"),
        "200: idle, % of a core": (0.4, "met"),
        "200: polling 1 000 pods every 10 s, % of a core": (None, "not measured"),
        "200: memory (up to 2000 resources), MB": (130.4, "met"),
        "200: memory after a restart (up to 2000 resources), MB": (210.0, "MISSED"),
        "200: restart (up to 2000 resources), s": (12.5, "MISSED"),
    }


def test_growth_is_required_where_there_are_several_sizes() -> None:
    run = Run([*RUN.rounds, Round(5000, {OPERATOR: OURS})])

    found = {check.what: check.verdict for check in checks(run)}

    assert found["growth of the CPU time to Ready from 200 to 5000 resources, exponent"] == "met"
    assert not any(what.startswith("5000: memory") for what in found)


def test_the_report_names_the_candidate_first_and_says_what_went_wrong() -> None:
    text = render(RUN, about=["made by hand"])

    assert "| chatbot-operator | 200 | 3.00 | 2.00 | - / - | 130 | 6.25 |" in text
    assert "| controller-runtime | 200 | 4.00 | 2.67 | - / - | - | 5.00 |" in text
    assert "| chatbot-operator | 200 | 20 / 90 | - | - | - / 40 |" in text
    assert "- controller-runtime: 200 resources: 2 of 100 were not seen" in text
    assert text.index("| chatbot-operator |") < text.index("| controller-runtime |") < text.index("| floor |")
    assert text.endswith("- made by hand\n")


def test_every_row_of_a_table_has_as_many_cells_as_its_head() -> None:
    for table in (part for part in render(RUN, about=[]).split("\n\n") if part.startswith("|")):
        assert len({line.count(" | ") for line in table.splitlines()}) == 1, table
