"""The documentation as data: pages, their links and anchors, and the commands in their code blocks with what is said about running them.

A `bash` block is a command that somebody will copy. A test under tests/cluster runs it as it stands, in the order of its page, unless the
line before it says otherwise: `<!-- run by: tests/…::test_name -->` or `<!-- not run: the reason -->`.
"""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
RUN_BY, NOT_RUN = "run by: ", "not run: "
REASON_WORDS = 3
HEAD_WORDS = 3

_BLOCK = re.compile(
    r"(?:^<!--(?P<said>[^\n]*)-->\n+)?^```(?P<language>\w*)\n(?P<text>.*?)^```$|^## (?P<section>.+?)$", re.MULTILINE | re.DOTALL
)
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)
_ANCHOR = re.compile(r'<a id="(?P<name>[^"]+)">')


@dataclass(frozen=True)
class Block:
    """A code block below a heading of the second level; `said` is what the comment right before it says, empty without one."""

    page: Path
    line: int
    section: str
    language: str
    text: str
    said: str = ""

    @property
    def place(self) -> str:
        """Return where it stands, as page:line."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def tests(self) -> list[str]:
        """Return the tests that are said to run it, as file::name."""
        return self.said.removeprefix(RUN_BY).split(", ") if self.said.startswith(RUN_BY) else []


def pages() -> list[Path]:
    """Return every page of docs/, by name."""
    return sorted(DOCS.rglob("*.md"))


def blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page, in order."""
    return blocks_of(page.read_text(encoding="utf-8"), page)


def blocks_of(text: str, page: Path) -> list[Block]:
    """Return the code blocks of a page's text, in order."""
    found, section = [], ""
    for match in _BLOCK.finditer(text):
        if match["section"]:
            section = match["section"]
        else:
            line = text.count("\n", 0, match.start("text"))
            found.append(Block(page, line, section, match["language"], match["text"], (match["said"] or "").strip()))
    return found


def commands(page: Path, *, section: str | None = None) -> list[Block]:
    """Return the blocks of a page, or of one section of it, that are run as they stand."""
    silent = [block for block in blocks(page) if block.language == "bash" and not block.said]
    return [block for block in silent if section in (None, block.section)]


def complaint(block: Block) -> str:
    """Return what is wrong with what is said about running a block: no reason, no test, a test that is not there; empty if nothing."""
    if block.said.startswith(NOT_RUN):
        enough = len(block.said.removeprefix(NOT_RUN).split()) >= REASON_WORDS
        return "" if enough else f"{block.place}: why is it not run?"
    missing = [test for test in block.tests if not _is_test(test)]
    if missing or (block.said and not block.tests):
        return f"{block.place}: {missing or block.said!r} names no test"
    return ""


def unrelated(block: Block) -> list[str]:
    """Return the tests that are said to run a block, though their files neither read its page nor have how each of its commands begins."""
    heads = {_bare(" ".join(line.split()[:HEAD_WORDS])) for line in command_lines(block)}
    files = {test: (ROOT / test.partition("::")[0]).read_text(encoding="utf-8") for test in block.tests}
    return [test for test, text in files.items() if not _reads(text, block.page) and not all(head in _bare(text) for head in heads)]


def command_lines(block: Block) -> list[str]:
    """Return the commands of a block, each on one line and without its comment."""
    lines = (line.partition(" # ")[0].strip() for line in block.text.replace("\\\n", " ").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _reads(text: str, page: Path) -> bool:
    return bool(re.search(r"\bblocks?(_\w+)?\(", text)) and f'{page.name}"' in text


def _bare(text: str) -> str:
    """Return words with one space between them, so that a list of arguments is the same as a command line."""
    return " ".join(word.removeprefix("./") for word in re.findall(r"[^\s\"'(),\[\]]+", text))


def _is_test(named: str) -> bool:
    file, _, name = named.partition("::")
    return name.startswith("test_") and (ROOT / file).is_file() and name in functions_in(ROOT / file)


@cache
def functions_in(file: Path) -> frozenset[str]:
    """Return the names of a test file's functions."""
    functions = (
        node for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return frozenset(function.name for function in functions)


def links(page: Path) -> list[str]:
    """Return the targets of the links of a page, those in code left out."""
    return [found["target"] for found in _LINK.finditer(_CODE.sub(_without_brackets, page.read_text(encoding="utf-8")))]


def anchors(page: Path) -> set[str]:
    """Return what can follow `#` in a link to a page: its headings as GitHub spells them, and names given by hand."""
    text = page.read_text(encoding="utf-8")
    return {_slug(found["text"]) for found in _HEADING.finditer(prose(page))} | {found["name"] for found in _ANCHOR.finditer(text)}


def prose(page: Path) -> str:
    """Return a page without its blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def _slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).strip().replace(" ", "-")


def _without_brackets(code: re.Match[str]) -> str:
    return "" if code[0].startswith("```") else "`code`"
