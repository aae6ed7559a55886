"""The generated files in the repository are what the models say today."""

from scripts.generate import ROOT, generated_files, stale_files


def test_generated_files_are_current() -> None:
    assert list(stale_files()) == []


def test_chart_holds_the_same_definition_as_the_repository() -> None:
    definitions = [path for path in generated_files() if path.name == "chatbotdeployments.chatbot.dev.yaml"]

    assert len(definitions) == 2
    assert len({(ROOT / path).read_bytes() for path in definitions}) == 1
