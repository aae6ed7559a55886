"""Commands keep the API key to themselves and fail in one line."""

import sys

import pytest

from scripts.commands import API_KEY_VARIABLE, Failed, one_line, run


def test_api_key_does_not_reach_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, "a-key")

    output = run([sys.executable, "-c", "import os; print(dict(os.environ))"])

    assert "PATH" in output
    assert "a-key" not in output


def test_standard_input_reaches_a_program() -> None:
    assert run([sys.executable, "-c", "print(input())"], stdin="a secret") == "a secret\n"


def test_failure_is_one_line_with_what_the_program_said() -> None:
    with pytest.raises(Failed, match=r"^python\S* -c: no such thing$"):
        run([sys.executable, "-c", "import sys; sys.exit('no such\\n  thing')"])


def test_missing_program_is_named() -> None:
    with pytest.raises(Failed, match=r"no-such-program x: .*no-such-program is not there"):
        run(["/nowhere/no-such-program", "x"])


def test_program_that_hangs_is_given_up() -> None:
    with pytest.raises(Failed, match="did not end within"):
        run([sys.executable, "-c", "import threading; threading.Event().wait()"], timeout_seconds=0.2)


def test_module_is_called_by_its_name() -> None:
    with pytest.raises(Failed, match=r"^json\.tool --wrong: "):
        run([sys.executable, "-m", "json.tool", "--wrong"])


def test_long_error_keeps_its_end() -> None:
    assert one_line("a" * 1000 + "\nthe reason", most_characters=12) == "a the reason"


def test_klog_lines_are_left_out() -> None:
    assert one_line("E1122 13:17:51.031 24721 memcache.go:265] noise\nThe connection was refused") == "The connection was refused"
