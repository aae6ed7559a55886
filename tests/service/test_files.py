from pathlib import Path

from chatbot_service.files import SystemPrompt, WatchedFile
from tests.service.mounts import MountedSecret


def test_a_file_changes_when_it_appears_is_rewritten_or_goes(tmp_path: Path) -> None:
    path = tmp_path / "key"
    file = WatchedFile(str(path))

    assert file.changed()
    assert not file.changed()
    path.write_text("1")
    assert file.changed()
    path.write_text("22")
    assert file.changed()
    path.unlink()
    assert file.changed()
    assert file.read() is None


def test_a_secret_swapped_by_its_symbolic_link_is_a_change(tmp_path: Path) -> None:
    mounted = MountedSecret(tmp_path, key="first")
    file = WatchedFile(str(mounted.path("key")))
    assert file.changed()

    mounted.swap(key="other")

    assert file.changed()
    assert file.read() == b"other"
    assert not file.changed()


def test_a_prompt_is_reread_when_its_file_changes_and_kept_when_it_breaks(tmp_path: Path) -> None:
    path = tmp_path / "prompt"
    path.write_text("Be brief.")
    prompt = SystemPrompt(WatchedFile(str(path)))
    assert prompt.refresh()
    assert prompt.text == "Be brief."

    path.write_text("Be very brief.")
    assert prompt.refresh()
    assert prompt.text == "Be very brief."

    path.write_bytes(b"\xff")
    assert prompt.refresh()
    assert prompt.text == "Be very brief."

    path.unlink()
    assert prompt.refresh()
    assert prompt.text == "Be very brief."


def test_a_prompt_that_was_asked_for_and_is_not_there_is_told(tmp_path: Path) -> None:
    assert not SystemPrompt(WatchedFile(str(tmp_path / "none"))).refresh()
    assert SystemPrompt(None).refresh()
