"""The stages of `make test` together run every test: each marker has one, and is written where the stage looks for it."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
MARKERS = {line.partition(":")[0] for line in OPTIONS["markers"]}
STAGES = (ROOT / "Makefile").read_text()


def test_each_marker_has_a_stage_of_its_own_and_is_left_out_of_the_quick_one() -> None:
    quick = re.search(r"^QUICK := (.*)$", STAGES, flags=re.MULTILINE)

    assert set(re.findall(r" -m (\w+)", STAGES)) >= MARKERS
    assert quick is not None
    assert set(re.findall(r"not (\w+)", quick[1])) == MARKERS


def test_markers_are_written_in_full_in_the_module_that_they_mark() -> None:
    """A stage imports only the modules whose text has its marker: tests/conftest.py."""
    spellings = re.compile(rf"\S*mark\.(?:{'|'.join(MARKERS)})\b|\badd_marker\b|from pytest import .*\bmark\b")
    odd = [
        f"{file.relative_to(ROOT)}: {found}"
        for file in sorted((ROOT / "tests").rglob("*.py"))
        if file != Path(__file__)
        for found in spellings.findall(file.read_text())
        if not (file.name.startswith("test_") and re.search(r"(?:^|[@\[( =])pytest\.mark\.\w+$", found))
    ]

    assert odd == []
