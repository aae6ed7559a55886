import os
from collections.abc import Callable
from pathlib import Path

import pytest

from chatbot_service.credentials import Credentials, FixedKey, SystemPrompt, WatchedFile, parse_key
from chatbot_service.readiness import CredentialsState, Outcome, Readiness, Verdict


@pytest.mark.parametrize("content", [b"sk-1", b"  sk-1\n", b"\r\nsk-1\t\r\n"])
def test_a_key_is_trimmed(content: bytes) -> None:
    assert parse_key(content) == "sk-1"


@pytest.mark.parametrize("content", [None, b"", b" \n"])
def test_nothing_is_a_missing_key(content: bytes | None) -> None:
    assert parse_key(content) is None


@pytest.mark.parametrize("content", [b"sk 1", b"sk\n1", b"sk\x00", "schlüssel".encode(), b"x" * 1025])
def test_a_malformed_key_is_refused_without_being_quoted(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"^the API key is not 1 to 1024 printable ASCII characters$"):
        parse_key(content)


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
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text(name)
    (tmp_path / "data").symlink_to("first")
    (tmp_path / "key").symlink_to("data/key")
    file = WatchedFile(str(tmp_path / "key"))
    assert file.changed()

    (tmp_path / "new").symlink_to("second")
    (tmp_path / "new").rename(tmp_path / "data")

    assert file.changed()
    assert file.read() == b"second"


class Bench:
    """Credentials on a file, with a judge and a clock in the test's hands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 0.0
        self.verdicts: dict[str, Outcome] = {}
        self.checked: list[str] = []
        self.used: list[str] = []
        self.readiness = Readiness(clock=lambda: self.now)
        self.readiness.listening = True
        self.credentials = Credentials(
            source=WatchedFile(str(path)), readiness=self.readiness, check=self.check, use=self.used.append, clock=lambda: self.now
        )

    async def check(self, key: str) -> Verdict:
        self.checked.append(key)
        return Verdict(self.verdicts.get(key, Outcome.ACCEPTED))

    async def write(self, text: str) -> None:
        replacement = self.path.with_suffix(".new")
        replacement.write_text(text)
        replacement.rename(self.path)
        await self.step()

    async def step(self, *, after: float = 0.0) -> None:
        self.now += after
        await self.credentials.step()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "key")


async def test_it_heals_when_the_key_file_appears(bench: Bench) -> None:
    await bench.step()
    assert bench.readiness.reason == "there is no API key"

    await bench.write("good")

    assert bench.readiness.ready
    assert bench.used == ["good"]
    assert bench.credentials.changed_at is not None


async def test_a_malformed_key_is_rejected_and_heals(bench: Bench) -> None:
    await bench.write("ma formed")
    assert bench.readiness.reason == "the API key is malformed"
    assert bench.checked == []

    await bench.write("good")

    assert bench.readiness.ready


async def test_a_new_key_is_used_only_once_it_is_accepted(bench: Bench) -> None:
    await bench.write("old")
    bench.verdicts["new"] = Outcome.UNJUDGEABLE

    await bench.write("new")
    assert bench.used == ["old"]
    assert bench.readiness.credentials == "Unverified"

    bench.verdicts["new"] = Outcome.ACCEPTED
    await bench.step(after=5)
    assert bench.used == ["old", "new"]
    assert bench.readiness.credentials == "Accepted"


async def test_a_refused_new_key_leaves_the_old_one_in_use(bench: Bench) -> None:
    await bench.write("old")
    bench.verdicts["new"] = Outcome.KEY_REFUSED

    await bench.write("new")

    assert bench.used == ["old"]
    assert bench.readiness.ready
    assert bench.readiness.credentials is CredentialsState.REJECTED


async def test_a_refused_key_is_checked_again_after_a_minute(bench: Bench) -> None:
    bench.verdicts["bad"] = Outcome.KEY_REFUSED
    await bench.write("bad")

    await bench.step(after=59)
    assert bench.checked == ["bad"]
    await bench.step(after=1)
    assert bench.checked == ["bad", "bad"]


async def test_what_could_not_be_judged_is_checked_again_after_five_seconds(bench: Bench) -> None:
    bench.verdicts["key"] = Outcome.UNJUDGEABLE
    await bench.write("key")
    assert not bench.readiness.ready

    await bench.step(after=5)
    assert bench.checked == ["key", "key"]

    bench.verdicts["key"] = Outcome.ACCEPTED
    await bench.step(after=5)
    assert bench.readiness.credentials is CredentialsState.ACCEPTED


async def test_an_accepted_key_is_checked_again_hourly(bench: Bench) -> None:
    await bench.write("good")

    await bench.step(after=3599)
    assert bench.checked == ["good"]
    await bench.step(after=1)
    assert bench.checked == ["good", "good"]


@pytest.mark.parametrize("remove", [Path.unlink, lambda path: path.write_text("")])
async def test_a_file_that_goes_or_empties_keeps_the_old_key_and_says_missing(bench: Bench, remove: Callable[[Path], object]) -> None:
    await bench.write("good")

    remove(bench.path)
    await bench.step()

    assert bench.readiness.ready
    assert bench.readiness.credentials is CredentialsState.MISSING
    assert bench.used == ["good"]


@pytest.mark.parametrize(("content", "state"), [("", CredentialsState.MISSING), ("ma formed", CredentialsState.REJECTED)])
@pytest.mark.parametrize("judgement", [Outcome.ACCEPTED, Outcome.KEY_REFUSED])
async def test_a_later_check_of_the_old_key_does_not_hide_what_is_wrong_with_the_file(
    bench: Bench, content: str, state: CredentialsState, judgement: Outcome
) -> None:
    bench.verdicts["old"] = judgement
    await bench.write("old")
    await bench.write(content)

    await bench.step(after=3600)

    assert bench.checked == ["old", "old"]
    assert bench.readiness.credentials is state
    assert bench.readiness.ready == (judgement is Outcome.ACCEPTED)


async def test_the_old_key_put_back_is_taken_for_what_it_was(bench: Bench) -> None:
    await bench.write("good")
    bench.path.unlink()
    await bench.step()

    bench.verdicts["good"] = Outcome.UNJUDGEABLE
    await bench.write("good")

    assert bench.readiness.credentials is CredentialsState.ACCEPTED


async def test_a_key_that_was_never_accepted_is_given_up_for_the_next(bench: Bench) -> None:
    bench.verdicts["bad"] = Outcome.KEY_REFUSED
    await bench.write("bad")

    await bench.write("good")

    assert bench.readiness.ready
    assert bench.used == ["bad", "good"]


async def test_a_check_that_fails_unforeseen_cannot_judge(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(_: str) -> Verdict:
        raise AttributeError

    bench.credentials._check = failing

    await bench.write("key")

    assert bench.readiness.credentials is CredentialsState.UNVERIFIED


async def test_a_key_from_the_environment_is_taken_once() -> None:
    readiness = Readiness(clock=lambda: 0.0)
    used: list[str] = []

    async def check(_: str) -> Verdict:
        return Verdict(Outcome.ACCEPTED)

    credentials = Credentials(source=FixedKey(b"key"), readiness=readiness, check=check, use=used.append, clock=lambda: 0.0)
    await credentials.step()
    await credentials.step()

    assert used == ["key"]


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
    os.utime(path, ns=(1, 1))
    assert prompt.refresh()
    assert prompt.text == "Be very brief."


def test_a_prompt_that_was_asked_for_and_is_not_there_is_told(tmp_path: Path) -> None:
    assert not SystemPrompt(WatchedFile(str(tmp_path / "none"))).refresh()
    assert SystemPrompt(None).refresh()
