"""Steps are shown with their outcome; a command that fails names its last line and its log."""

import io
import sys

import pytest
from rich.console import Console

from scripts.commands import Failed
from scripts.progress import Progress


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(screen: io.StringIO) -> Progress:
    return Progress(Console(file=screen, force_terminal=False))


def test_plain_screen_says_start_end_and_seconds(progress: Progress, screen: io.StringIO) -> None:
    with progress, progress.step("a thing"):
        pass

    assert screen.getvalue().splitlines() == ["==> a thing", "    a thing: done in 0 s"]


def test_failed_command_names_its_last_line_and_its_log(progress: Progress, screen: io.StringIO) -> None:
    with progress, pytest.raises(Failed, match=r"a test: no Go: install it \(log: .*a-test\.log\)"):
        progress.command("a test", [sys.executable, "-c", "print('working'); raise SystemExit('no Go: install it')"])

    assert "a test: failed" in screen.getvalue()


def test_second_command_runs_only_after_a_good_first_one(progress: Progress) -> None:
    with progress, pytest.raises(Failed, match="first"):
        progress.command(
            "a test", [sys.executable, "-c", "raise SystemExit('first')"], [sys.executable, "-c", "raise SystemExit('second')"]
        )


def test_nothing_starts_after_a_cancel(progress: Progress) -> None:
    progress.cancel()

    with progress, pytest.raises(Failed, match="given up"):
        progress.command("a test", [sys.executable, "-c", "raise SystemExit('never')"])
