import errno
from pathlib import Path

import pytest
import structlog

from chatbot_service.files import MAX_FILE_BYTES, SystemPrompt, WatchedFile
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
    with structlog.testing.capture_logs() as logged:
        assert file.changed()
    assert logged == []
    assert file.read() is None


def test_a_file_replaced_by_its_like_has_not_changed(tmp_path: Path) -> None:
    mounted = MountedSecret(tmp_path, key="first", other="1")
    file = WatchedFile(str(mounted.path("key")))
    assert file.changed()

    mounted.swap(key="first", other="2")

    assert not file.changed()


def test_a_file_too_large_is_read_once_and_taken_for_none(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"x" * MAX_FILE_BYTES)
    file = WatchedFile(str(path))
    assert file.changed()
    assert file.read() == b"x" * MAX_FILE_BYTES

    path.write_bytes(b"x" * (MAX_FILE_BYTES + 1))

    with structlog.testing.capture_logs() as logged:
        assert file.changed()
        assert file.read() is None
        assert not file.changed()
    assert [line["event"] for line in logged] == ["file is too large"]


def test_what_cannot_be_read_is_no_file_and_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.mkdir()
    file = WatchedFile(str(path))
    with structlog.testing.capture_logs() as logged:
        assert file.changed()
        assert file.read() is None
        assert not file.changed()
    assert logged == [{"event": "file cannot be read", "path": str(path), "error": "Is a directory", "log_level": "warning"}]

    path.rmdir()
    path.write_text("1")

    assert file.changed()
    assert file.read() == b"1"


def test_a_file_that_could_not_be_opened_is_read_without_a_further_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    path = tmp_path / "key"
    path.write_text("1")
    file = WatchedFile(str(path))
    with monkeypatch.context() as exhausted:
        exhausted.setattr(Path, "open", failing)
        assert file.changed()
        assert not file.changed()

    assert file.changed()
    assert file.read() == b"1"


def test_what_was_handed_over_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("canary")
    file = WatchedFile(str(path))

    assert file.changed()
    assert file.read() == b"canary"

    assert "canary" not in repr(vars(file)).replace(str(path), "")


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
