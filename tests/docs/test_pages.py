"""The pages of docs/ hold together: links lead somewhere, every command is run or says why not, every reason is explained."""

import re
from pathlib import Path

import pytest

from chatbot_operator.reasons import ConditionReason
from chatbot_operator.resource import State
from chatbot_operator.rollout import READY_REASONS
from tests.cluster.test_documents import WALK
from tests.docs.pages import DOCS, ROOT, Block, anchors, blocks, commands, functions_in, links, pages

PAGES = sorted(DOCS.glob("*.md"))
GUIDES = [*ROOT.glob("*.md"), *ROOT.glob("[!.]*/README.md"), *ROOT.glob("charts/*/README.md")]
BASH = [block for page in PAGES for block in blocks(page) if block.language == "bash"]
REASONS = sorted({*READY_REASONS, *ConditionReason})


@pytest.mark.parametrize("page", sorted({*pages(), *GUIDES}), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_of_it(page: Path) -> None:
    local = [link for link in links(page) if not link.startswith(("http:", "https:", "mailto:"))]
    targets = [(link, (page.parent / link.partition("#")[0]).resolve() if link[0] != "#" else page) for link in local]

    assert [link for link, target in targets if not target.exists()] == []
    assert [link for link, target in targets if "#" in link and link.partition("#")[2] not in anchors(target)] == []


def test_the_index_has_a_line_for_each_page() -> None:
    index = [link for link in links(DOCS / "README.md") if "/" not in link and "#" not in link]

    assert sorted(index) == [page.name for page in PAGES if page.name != "README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_page_are_run_by_the_walk_if_there_are_such(page: Path) -> None:
    assert bool(commands(page)) == (page.name in WALK)


@pytest.mark.parametrize("block", BASH, ids=lambda block: block.place)
def test_block_of_commands_is_run_or_says_why_not(block: Block) -> None:
    if block.verb == "run by":
        for test in block.what.split(", "):
            file, _, name = test.partition("::")
            assert (ROOT / file).is_file()
            assert not name or name in functions_in(ROOT / file)
    elif block.verb == "not run":
        assert len(block.what) > len("because")


@pytest.mark.parametrize("reason", REASONS)
def test_troubleshooting_explains_every_reason_of_a_condition(reason: str) -> None:
    assert reason.lower() in anchors(DOCS / "troubleshooting.md")


def test_troubleshooting_explains_every_state_and_no_reason_that_is_none() -> None:
    text = (DOCS / "troubleshooting.md").read_text()
    told = set(re.findall(r'<a id="(\w+)">', text))

    assert told == {reason.lower() for reason in REASONS}
    assert all(f"| `{state}` |" in text for state in State)
