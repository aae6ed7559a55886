"""The documentation as data: pages, their links and anchors, and the commands in their code blocks with what is said about running them.

A `bash` block is a command that somebody will copy. tests/cluster/test_documents.py runs it as it stands, in the order of its page, unless
the line before it says otherwise: `<!-- run by: tests/…::test_name -->` or `<!-- not run: the reason -->`.
"""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_BLOCK = re.compile(
    r"(?:^<!-- (?P<verb>run by|not run): (?P<what>.+?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)
_ANCHOR = re.compile(r'<a id="(?P<name>[^"]+)">')


@dataclass(frozen=True)
class Block:
    """A code block; `verb` and `what` are empty where the page is silent about running it."""

    page: Path
    line: int
    language: str
    text: str
    verb: str = ""
    what: str = ""

    @property
    def place(self) -> str:
        """Return where it stands, as page:line."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Return every page of docs/, by name."""
    return sorted(DOCS.rglob("*.md"))


def blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start("text")), found["language"], found["text"], found["verb"] or "", found["what"] or "")
        for found in _BLOCK.finditer(text)
    ]


def commands(page: Path) -> list[Block]:
    """Return the blocks of a page that are run as they stand."""
    return [block for block in blocks(page) if block.language == "bash" and not block.verb]


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
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return {_slug(found["text"]) for found in _HEADING.finditer(prose)} | {found["name"] for found in _ANCHOR.finditer(text)}


def _slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).strip().replace(" ", "-")


def _without_brackets(code: re.Match[str]) -> str:
    return "" if code[0].startswith("```") else "`code`"
