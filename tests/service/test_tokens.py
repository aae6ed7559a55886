"""Tokens of a file: how they are written, shown, compared, changed, and never told."""

import errno
import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from chatbot_service.files import WatchedFile
from chatbot_service.tokens import MAX_TOKENS, Tokens, parse_tokens
from tests.service.mounts import MountedSecret

CANARY = "canary-token"


def tokens_in(path: Path, content: bytes | None = None) -> Tokens:
    if content is not None:
        path.write_bytes(content)
    tokens = Tokens(WatchedFile(str(path)))
    tokens.refresh()
    return tokens


def bearer(token: str) -> dict[bytes, bytes]:
    return {b"authorization": b"Bearer " + token.encode()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"one", [b"one"]),
        (b"one\ntwo\n", [b"one", b"two"]),
        (b"\n# of team a\n  one \r\n\r\n#two\n\tthree", [b"one", b"three"]),
        (b"a b\nok", [b"ok"]),
        (b"caf\xc3\xa9\nok", [b"ok"]),
        (b"\xef\xbb\xbfone\nok", [b"ok"]),
        (b"x" * 1024 + b"\n" + b"y" * 1025, [b"x" * 1024]),
        (b"one\x00\nok", [b"ok"]),
    ],
)
def test_a_token_is_a_line(content: bytes, expected: list[bytes]) -> None:
    assert parse_tokens(content) == expected


def test_a_file_that_holds_anything_but_tokens_is_told_in_one_line() -> None:
    with capture_logs() as log:
        assert parse_tokens(b"token\n" + b"\xff\n" * 1_000) == [b"token"]

    assert [(line["lines"], line["ignored"]) for line in log] == [(list(range(2, 12)), 1_000)]


def test_there_are_at_most_a_thousand() -> None:
    assert len(parse_tokens(b"token\n" * (MAX_TOKENS + 5))) == MAX_TOKENS


@pytest.mark.parametrize(
    "headers",
    [
        {b"authorization": b"Bearer two"},
        {b"authorization": b"bearer  two "},
        {b"x-api-key": b"two"},
        {b"authorization": b"Bearer wrong", b"x-api-key": b"two"},
        {b"authorization": b"Bearer two", b"x-api-key": b"wrong"},
        {b"authorization": b"Basic dHdv", b"x-api-key": b"two"},
    ],
    ids=str,
)
def test_any_known_token_is_taken_in_either_header(path: Path, headers: dict[bytes, bytes]) -> None:
    assert tokens_in(path, b"one\ntwo\nthree\n").client_of(headers) is not None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"authorization": b""},
        {b"authorization": b"Bearer"},
        {b"authorization": b"Bearer "},
        {b"authorization": b"two"},
        {b"authorization": b"Basic two"},
        {b"authorization": b"Bearer tw"},
        {b"authorization": b"Bearer two\x00"},
        {b"authorization": b"Bearer #two"},
        {b"authorization": b"Bearer one two"},
        {b"x-api-key": b""},
        {b"x-api-key": b"Bearer two"},
    ],
    ids=str,
)
def test_nothing_else_is(path: Path, headers: dict[bytes, bytes]) -> None:
    assert tokens_in(path, b"one\ntwo\nthree\n\n#two\n").client_of(headers) is None


def test_a_client_is_known_by_a_hash_that_is_not_its_token(path: Path) -> None:
    tokens = tokens_in(path, b"one\ntwo\n")

    first, second = tokens.client_of(bearer("one")), tokens.client_of(bearer("two"))

    assert first is not None
    assert len(first) == 16
    assert "one" not in first
    assert first != second
    assert first == tokens.client_of({b"x-api-key": b"one"})


def test_nobody_can_know_the_digest_that_a_token_is_compared_by(path: Path) -> None:
    one_process, another = tokens_in(path, b"one\n"), tokens_in(path, b"one\n")

    assert one_process.client_of(bearer("one")) != another.client_of(bearer("one"))


def test_the_tokens_themselves_are_not_kept(path: Path) -> None:
    tokens = tokens_in(path, f"{CANARY}\n".encode())

    assert CANARY not in repr(vars(tokens))


def test_without_tokens_nobody_is_let_in(path: Path) -> None:
    tokens = tokens_in(path)

    assert tokens.state.value == "Missing"
    assert tokens.client_of(bearer("")) is None
    assert tokens.client_of({b"x-api-key": b""}) is None


@pytest.mark.parametrize("content", [b"", b"\n\n# nothing yet\n", b"a b\n"])
def test_a_file_without_a_token_is_as_good_as_none(path: Path, content: bytes) -> None:
    assert tokens_in(path, content).state.value == "Missing"


def test_tokens_come_and_go_with_the_file(path: Path) -> None:
    tokens = tokens_in(path)

    path.write_text("one\ntwo\n")
    tokens.refresh()
    assert tokens.state.value == "Loaded"
    assert tokens.client_of(bearer("one"))

    path.write_text("two\nthree\n")
    tokens.refresh()
    assert [bool(tokens.client_of(bearer(name))) for name in ("one", "two", "three")] == [False, True, True]

    path.unlink()
    tokens.refresh()
    assert tokens.state.value == "Missing"
    assert tokens.client_of(bearer("two")) is None


def test_a_secret_is_followed_as_kubelet_swaps_it(tmp_path: Path) -> None:
    mounted = MountedSecret(tmp_path, tokens="old\n")
    tokens = tokens_in(mounted.path("tokens"))

    mounted.swap(tokens="old\nnew\n")
    tokens.refresh()
    assert tokens.client_of(bearer("old"))
    assert tokens.client_of(bearer("new"))

    mounted.swap(tokens="new\n")
    tokens.refresh()
    assert tokens.client_of(bearer("old")) is None


def test_a_file_that_could_not_be_read_is_tried_again_without_a_change(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    path.write_text("one\n")
    with monkeypatch.context() as broken:
        broken.setattr(Path, "open", failing)
        tokens = tokens_in(path)
        assert tokens.state.value == "Missing"

    tokens.refresh()

    assert tokens.state.value == "Loaded"


def test_each_change_is_logged_once_and_no_token_ever(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tokens = tokens_in(path)
    tokens.refresh()
    path.write_text(f"{CANARY}\n{CANARY} malformed\n")
    tokens.refresh()
    path.write_text(f"{CANARY}\n")  # another file, the same tokens
    tokens.refresh()
    tokens.client_of(bearer(CANARY))

    lines = capfd.readouterr().out.splitlines()

    assert len([line for line in lines if "client tokens are missing" in line]) == 1
    assert len([line for line in lines if "client tokens read" in line]) == 1
    assert len([line for line in lines if "client tokens ignored" in line]) == 1
    assert CANARY not in json.dumps(lines)
    assert CANARY not in repr(vars(tokens))
