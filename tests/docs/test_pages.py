"""The pages of docs/ hold together: links lead somewhere, every command is run or says why not, every reason is explained."""

import re
from pathlib import Path

import pytest

from chatbot_operator.reasons import READY_REASONS, ConditionReason
from chatbot_operator.resource import State
from tests.cluster import test_documents, test_runbooks
from tests.docs.pages import DOCS, ROOT, anchors, blocks, blocks_of, commands, complaint, links, pages, prose, unrelated

PAGES = sorted(DOCS.glob("*.md"))
GUIDES = [*ROOT.glob("*.md"), *ROOT.glob("[!.]*/README.md"), *ROOT.glob("charts/*/README.md")]
EVERYWHERE = sorted({*pages(), *GUIDES})
BASH = [block for page in EVERYWHERE for block in blocks(page) if block.language == "bash"]
RUN = {*test_documents.COMMANDS, *test_runbooks.COMMANDS}
WALK = "tests/cluster/test_documents.py"
"""Runs the README as it stands; another page may have the same commands."""
REASONS = sorted({*READY_REASONS, *ConditionReason})


@pytest.mark.parametrize("page", EVERYWHERE, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_of_it(page: Path) -> None:
    local = [link for link in links(page) if not link.startswith(("http:", "https:", "mailto:"))]
    targets = [(link, (page.parent / link.partition("#")[0]).resolve() if link[0] != "#" else page) for link in local]

    assert [link for link, target in targets if not target.exists()] == []
    assert [link for link, target in targets if "#" in link and link.partition("#")[2] not in anchors(target)] == []


def test_the_index_has_a_line_for_each_page() -> None:
    index = [link for link in links(DOCS / "README.md") if "/" not in link and "#" not in link]

    assert sorted(index) == [page.name for page in PAGES if page.name != "README.md"]


def test_every_block_of_commands_is_run_or_says_something() -> None:
    assert [block.place for block in BASH if not block.said and block not in RUN] == []


def test_no_commands_stand_outside_of_blocks() -> None:
    indented = re.compile(r"^(?: {4}|\t).*", re.MULTILINE)

    assert [(page.name, line) for page in EVERYWHERE for line in indented.findall(prose(page))] == []


def test_what_a_block_says_is_a_reason_or_names_tests_that_are_there() -> None:
    assert [said for block in BASH if (said := complaint(block))] == []


def test_a_test_that_is_said_to_run_a_block_reads_its_page_or_has_its_commands() -> None:
    assert [(block.place, test) for block in BASH for test in unrelated(block) if not test.startswith(WALK)] == []


@pytest.mark.parametrize(("command", "strangers"), [("git describe \\\n  --tags --always # the version", 0), ("git describe --all", 1)])
def test_related_is_what_begins_as_in_the_tests_file(command: str, strangers: int) -> None:
    said = "run by: tests/cluster/test_charts.py::test_what_kubectl_scaled_survives_an_upgrade"
    (block,) = blocks_of(f"<!-- {said} -->\n```bash\n{command}\n```\n", ROOT / "README.md")

    assert complaint(block) == ""
    assert len(unrelated(block)) == strangers


def test_commands_that_the_walk_is_said_to_run_stand_in_the_readme_too() -> None:
    walked = {line for block in commands(ROOT / "README.md") for line in block.text.splitlines()}
    borrowed = [block for block in BASH if any(test.startswith(WALK) for test in block.tests)]

    assert [block.place for block in borrowed if not {*block.text.splitlines()} <= walked] == []


@pytest.mark.parametrize(
    "said",
    [
        "not run:",
        "not run: ",
        "not run: because",
        "not tested: it takes a registry",
        "run by: tests/docs/test_pages.py",
        "run by: tests/docs/test_pages.py::block",
        "run by: tests/docs/test_pages.py::test_of_nothing",
        "run by: tests/docs/no_such_file.py::test_of_nothing",
    ],
)
def test_no_reason_and_no_test_are_refused(said: str) -> None:
    (block,) = blocks_of(f"<!-- {said} -->\n```bash\ntrue\n```\n", DOCS / "README.md")

    assert complaint(block)


@pytest.mark.parametrize("reason", REASONS)
def test_troubleshooting_explains_every_reason_of_a_condition(reason: str) -> None:
    assert reason.lower() in anchors(DOCS / "troubleshooting.md")


def test_troubleshooting_explains_every_state_and_no_reason_that_is_none() -> None:
    text = (DOCS / "troubleshooting.md").read_text()
    told = set(re.findall(r'<a id="(\w+)">', text))

    assert told == {reason.lower() for reason in REASONS}
    assert all(f"| `{state}` |" in text for state in State)


def test_the_readme_names_every_state_and_leaves_what_it_means_to_one_page() -> None:
    text = (ROOT / "README.md").read_text()
    row = re.compile(r"^\| `?Stalled`? \|", re.MULTILINE)

    assert [state for state in State if f"`{state}`" not in text] == []
    assert [page.name for page in EVERYWHERE if row.search(page.read_text())] == ["troubleshooting.md"]
