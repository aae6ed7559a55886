"""The pages of docs/ hold together: links lead somewhere, every command is run or says why not, every reason is explained."""

import ast
import re
from functools import cache
from http import HTTPStatus
from pathlib import Path

import pytest

from chatbot_operator.conditions import ConditionReason
from chatbot_operator.pods import PodReason
from chatbot_operator.resource import State
from chatbot_operator.rollout import Reason
from chatbot_service import errors
from scripts.resource_reference import problem_reasons
from tests.cluster.test_documents import WALK
from tests.docs.pages import DOCS, ROOT, Block, anchors, blocks, commands, links, pages

PAGES = sorted(DOCS.glob("*.md"))
GUIDES = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "service/README.md")]
BASH = [block for page in PAGES for block in blocks(page) if block.language == "bash"]
REASONS = sorted({*Reason, *PodReason, *ConditionReason, *problem_reasons()})


@cache
def functions_in(file: Path) -> frozenset[str]:
    """Return the names of a test file's functions."""
    return frozenset(node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef))


def problems() -> list[type[errors.Problem]]:
    """Return every kind of problem that the service answers with."""
    found, kinds = [], [errors.Problem]
    while kinds:
        kind = kinds.pop()
        found.append(kind)
        kinds += kind.__subclasses__()
    return found


@pytest.mark.parametrize("page", [*pages(), *GUIDES], ids=lambda page: str(page.relative_to(ROOT)))
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


def test_the_api_page_names_every_code_with_its_status() -> None:
    kinds = [kind for kind in problems() if kind not in (errors.HttpProblem, errors.UpstreamProblem)]

    assert rows_of("## Errors") >= {(kind.status, kind.code) for kind in kinds}
    assert {status for status, _ in rows_of("What is no proper HTTP")} == statuses_of_the_protocol()
    assert all(HTTPStatus(status).name.lower() == code for status, code in rows_of("What is no proper HTTP"))


def rows_of(beginning: str) -> set[tuple[int, str]]:
    """Return status and code of every row from there to the next heading."""
    text = (DOCS / "api.md").read_text().partition(beginning)[2].partition("\n## ")[0]
    return {(int(status), code) for status, code in re.findall(r"^\| (\d{3}) \| `(\w+)` \|", text, flags=re.MULTILINE)}


def statuses_of_the_protocol() -> set[int]:
    """Return what the service port refuses in HTTP's own words; not what follows an answer (413), nor what nobody foresaw (500)."""
    sources = [ROOT / "service/src/chatbot_service" / name for name in ("app.py", "head.py", "protocol.py", "refusals.py")]
    return {int(status) for file in sources for status in re.findall(r"HttpProblem\((\d{3})", file.read_text())} - {413, 500}
