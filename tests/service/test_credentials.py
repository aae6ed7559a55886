import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from chatbot_service.credentials import Credentials, FixedKey, parse_key
from chatbot_service.files import WatchedFile
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


class Bench:
    """Credentials on a file, with a judge and a clock in the test's hands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 0.0
        self.verdicts: dict[str, Outcome] = {}
        self.checked: list[str] = []
        self.used: list[str] = []
        self.lifecycle: str | None = None
        self.refuse: Callable[[], None] = lambda: None
        self.readiness = Readiness(clock=lambda: self.now)
        self.readiness.listening = True
        self.credentials = Credentials(
            source=WatchedFile(str(path)), readiness=self.readiness, check=self.check, use=self.use, clock=lambda: self.now
        )

    async def check(self, key: str) -> Verdict:
        self.checked.append(key)
        return Verdict(
            self.verdicts.get(key, Outcome.ACCEPTED), latency_seconds=0.25, lifecycle=self.lifecycle, retires_at="2026-11-30T00:00:00+00:00"
        )

    def use(self, key: str, *, on_refused: Callable[[], None]) -> None:
        self.used.append(key)
        self.refuse = on_refused

    async def write(self, text: str) -> None:
        replacement = self.path.with_suffix(".new")
        replacement.write_text(text)
        replacement.rename(self.path)
        await self.step()

    async def step(self, *, after: float = 0.0) -> None:
        self.now += after
        self.credentials.step()
        if self.credentials._checking is not None:
            await self.credentials._checking


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


@pytest.mark.parametrize(
    ("outcome", "credentials"), [(Outcome.KEY_REFUSED, CredentialsState.REJECTED), (Outcome.MODEL_REFUSED, CredentialsState.ACCEPTED)]
)
async def test_what_the_hourly_check_finds_refused_is_told_and_served_on(
    bench: Bench, outcome: Outcome, credentials: CredentialsState
) -> None:
    await bench.write("good")
    bench.verdicts["good"] = outcome

    await bench.step(after=3600)
    told = (bench.readiness.ready, bench.readiness.refused, bench.readiness.credentials)
    bench.verdicts["good"] = Outcome.ACCEPTED
    await bench.step(after=60)

    assert told == (True, True, credentials)
    assert (bench.readiness.refused, bench.readiness.credentials) == (False, CredentialsState.ACCEPTED)


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


async def test_a_successor_that_cannot_be_judged_is_taken_once_the_old_key_is_refused(bench: Bench) -> None:
    await bench.write("old")
    bench.verdicts["new"] = Outcome.UNJUDGEABLE
    await bench.write("new")

    bench.refuse()

    assert bench.used == ["old", "new"]
    assert bench.readiness.credentials is CredentialsState.UNVERIFIED
    assert bench.readiness.ready


async def test_a_successor_of_a_refused_key_is_taken_as_soon_as_it_cannot_be_judged(bench: Bench) -> None:
    await bench.write("old")
    bench.verdicts |= {"old": Outcome.KEY_REFUSED, "new": Outcome.UNJUDGEABLE}
    bench.refuse()

    await bench.write("new")

    assert bench.used == ["old", "new"]


async def test_a_refused_successor_is_not_taken_whatever_happens_to_the_old_key(bench: Bench) -> None:
    await bench.write("old")
    bench.verdicts["new"] = Outcome.KEY_REFUSED
    await bench.write("new")

    bench.refuse()

    assert bench.used == ["old"]


@pytest.mark.parametrize("then", ["", "ma formed", "old"])
async def test_a_successor_that_was_withdrawn_is_not_taken(bench: Bench, then: str) -> None:
    await bench.write("old")
    bench.verdicts["new"] = Outcome.UNJUDGEABLE
    await bench.write("new")

    await bench.write(then)
    bench.refuse()
    await bench.step(after=5)

    assert bench.used == ["old"]
    assert bench.checked[-1] == "old"


async def test_a_request_that_was_still_sent_with_the_old_key_says_nothing_of_the_new(bench: Bench) -> None:
    await bench.write("old")
    refuse_old = bench.refuse
    await bench.write("new")
    bench.verdicts["newer"] = Outcome.UNJUDGEABLE
    await bench.write("newer")

    refuse_old()

    assert bench.used == ["old", "new"]


async def test_a_key_that_requests_find_refused_is_checked_at_once_but_not_again_and_again(bench: Bench) -> None:
    await bench.write("key")
    bench.verdicts["key"] = Outcome.KEY_REFUSED

    bench.refuse()
    await bench.step(after=4)
    assert bench.checked == ["key"]
    await bench.step(after=1)
    bench.refuse()
    await bench.step(after=1)

    assert bench.checked == ["key", "key"]
    assert bench.readiness.credentials is CredentialsState.REJECTED
    assert bench.readiness.ready


@pytest.mark.parametrize("seconds", [0, 60])
async def test_a_refused_key_that_goes_and_comes_back_is_still_refused(bench: Bench, seconds: float) -> None:
    await bench.write("key")
    bench.verdicts["key"] = Outcome.KEY_REFUSED
    bench.refuse()
    await bench.step(after=5)

    bench.verdicts["key"] = Outcome.UNJUDGEABLE
    await bench.step(after=seconds)
    await bench.write("")
    await bench.write("key")

    assert bench.readiness.credentials is CredentialsState.REJECTED


async def test_a_check_that_cannot_judge_does_not_clear_a_refused_key(bench: Bench) -> None:
    await bench.write("old")
    bench.verdicts |= {"old": Outcome.KEY_REFUSED, "new": Outcome.UNJUDGEABLE}
    bench.refuse()
    await bench.step(after=5)
    bench.verdicts["old"] = Outcome.UNJUDGEABLE
    await bench.step(after=60)

    await bench.write("new")

    assert bench.used == ["old", "new"]


async def test_a_key_that_was_never_judged_is_not_called_accepted_when_it_comes_back(bench: Bench) -> None:
    await bench.write("old")
    bench.verdicts["new"] = Outcome.UNJUDGEABLE
    await bench.write("new")
    bench.refuse()

    await bench.write("")
    await bench.write("new")

    assert bench.used == ["old", "new"]
    assert bench.readiness.credentials is CredentialsState.UNVERIFIED


@pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.KEY_REFUSED, Outcome.UNJUDGEABLE])
@pytest.mark.parametrize("first", ["key", "other"])
async def test_a_file_replaced_by_its_like_is_no_change(bench: Bench, first: str, outcome: Outcome) -> None:
    bench.verdicts["key"] = outcome
    await bench.write(first)
    await bench.write("key")
    known = (bench.readiness.ready, bench.readiness.credentials, list(bench.checked), list(bench.used))

    with capture_logs() as lines:
        await bench.write("key")

    assert (bench.readiness.ready, bench.readiness.credentials, bench.checked, bench.used) == known
    assert lines == []


@pytest.mark.parametrize(("old", "ready"), [(Outcome.UNJUDGEABLE, True), (Outcome.KEY_REFUSED, False)])
async def test_a_new_key_during_an_outage_takes_no_serving_pod_out(bench: Bench, old: Outcome, *, ready: bool) -> None:
    bench.verdicts |= {"old": old, "new": Outcome.UNJUDGEABLE}
    await bench.write("old")
    bench.now += 10

    await bench.write("new")

    assert (bench.used, bench.readiness.ready) == (["old", "new"], ready)
    bench.now += 10
    assert bench.readiness.ready


async def test_a_change_of_the_file_does_not_wait_for_a_check_that_hangs(bench: Bench) -> None:
    await bench.write("old")
    answers = asyncio.Event()

    async def hanging(key: str) -> Verdict:
        bench.checked.append(key)
        if key == "slow":
            await answers.wait()
        return Verdict(Outcome.ACCEPTED)

    bench.credentials._check = hanging
    bench.path.write_text("slow")
    bench.credentials.step()
    await asyncio.sleep(0)

    await bench.write("fast")
    answers.set()
    await asyncio.sleep(0)

    assert bench.checked == ["old", "slow", "fast"]
    assert bench.used == ["old", "fast"]


async def test_what_a_check_comes_to_is_news_once(bench: Bench) -> None:
    bench.verdicts["key"] = Outcome.UNJUDGEABLE

    with capture_logs() as lines:
        await bench.write("key")
        await bench.step(after=5)
        bench.verdicts["key"] = Outcome.ACCEPTED
        await bench.step(after=5)

    checks = [(line["outcome"], line["log_level"]) for line in lines if line["event"] == "api key checked"]
    assert checks == [(Outcome.UNJUDGEABLE, "warning"), (Outcome.UNJUDGEABLE, "debug"), (Outcome.ACCEPTED, "info")]


async def test_the_end_takes_a_check_with_it(bench: Bench) -> None:
    checking, ended = asyncio.Event(), asyncio.Event()

    async def hanging(_: str) -> Verdict:
        checking.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    bench.credentials._check = hanging
    bench.path.write_text("key")
    running = asyncio.create_task(bench.credentials.run())
    await checking.wait()

    running.cancel()
    await asyncio.wait_for(ended.wait(), timeout=10)

    assert bench.credentials._checking is None


async def test_a_deprecated_model_is_told_once_a_day(bench: Bench) -> None:
    bench.lifecycle = "deprecated"

    with capture_logs() as lines:
        await bench.write("key")
        for _ in range(25):
            await bench.step(after=3_600)

    warnings = [line for line in lines if line["event"] == "model is deprecated"]
    assert [(line["log_level"], line["retires_at"]) for line in warnings] == [("warning", "2026-11-30T00:00:00+00:00")] * 2
    assert warnings[0]["days_to_retirement"] >= 0
    assert len(bench.checked) == 26


async def test_the_latency_of_the_last_check_is_known_whatever_it_came_to(bench: Bench) -> None:
    await bench.write("key")
    bench.verdicts["key"] = Outcome.UNJUDGEABLE
    bench.readiness.check_latency_seconds = 0.0

    await bench.step(after=3_600)

    assert bench.readiness.check_latency_seconds == 0.25


async def test_a_key_from_the_environment_is_taken_once() -> None:
    readiness = Readiness(clock=lambda: 0.0)
    used: list[str] = []

    async def check(_: str) -> Verdict:
        return Verdict(Outcome.ACCEPTED)

    def use(key: str, **_: object) -> None:
        used.append(key)

    credentials = Credentials(source=FixedKey(b"key"), readiness=readiness, check=check, use=use, clock=lambda: 0.0)
    credentials.step()
    credentials.step()

    assert used == ["key"]
