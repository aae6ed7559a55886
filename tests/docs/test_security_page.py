"""SECURITY.md: every way by which a key could leak names a test, and the tests that it names are there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def test_every_way_that_a_key_could_leak_names_a_test() -> None:
    section = PAGE.split("\n## How a key could leak\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]

    assert len(rows) > 10
    assert [row for row in rows if not TEST.search(row.rsplit("|", 2)[1])] == []


def test_the_tests_that_it_names_are_there() -> None:
    named = TEST.findall(PAGE)

    assert [f"{path}::{name}" for path, name in named if f"def {name}" not in (ROOT / path).read_text(encoding="utf-8")] == []
