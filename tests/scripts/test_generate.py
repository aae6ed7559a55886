"""The generated files in the repository are what the models say today."""

import re
from pathlib import PurePath

from scripts import generate
from scripts.generate import ROOT, generated_files, stale_files


def test_generated_files_are_current() -> None:
    assert list(stale_files()) == []


def test_chart_holds_the_same_definition_as_the_repository() -> None:
    definitions = [path for path in generated_files() if path.name == "chatbotdeployments.chatbot.dev.yaml"]

    assert len(definitions) == 2
    assert len({(ROOT / path).read_bytes() for path in definitions}) == 1


def test_the_list_at_the_head_of_the_script_is_of_every_generated_file_and_of_no_other() -> None:
    """`make help` and CONTRIBUTING.md lead there."""
    assert generate.__doc__ is not None
    listed = {word for line in re.findall(r"^- (.*?): ", generate.__doc__, re.MULTILINE) for word in re.findall(r"`([^`]+)`", line)}
    files = {PurePath(path) for path in generated_files()}

    assert {file for file in files if not any(file.match(pattern) for pattern in listed)} == set()
    assert {pattern for pattern in listed if not any(file.match(pattern) for file in files)} == set()
