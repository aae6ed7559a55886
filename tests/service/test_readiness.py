from datetime import UTC, datetime

import pytest

from chatbot_service.readiness import CredentialsState, ModelState, Outcome, Readiness, Verdict
from tests.clock import Clock


@pytest.fixture
def readiness(clock: Clock) -> Readiness:
    """A listening service that has just taken a key."""
    readiness = Readiness(clock=clock)
    readiness.listening = True
    readiness.key_taken()
    return readiness


def verdict(outcome: Outcome, *, lifecycle: str | None = None) -> Verdict:
    return Verdict(outcome, lifecycle=lifecycle)


@pytest.mark.parametrize(
    ("credentials", "reason"),
    [
        (CredentialsState.MISSING, "there is no API key"),
        (CredentialsState.REJECTED, "the API key is malformed"),
        (CredentialsState.UNVERIFIED, "the API key has not been read yet"),
    ],
)
def test_without_a_key_it_is_not_ready_however_long_it_waits(clock: Clock, credentials: CredentialsState, reason: str) -> None:
    readiness = Readiness(clock=clock)
    readiness.listening = True
    readiness.credentials = credentials

    clock.now += 100

    assert readiness.reason == reason


def test_nothing_is_known_of_a_key_that_was_not_looked_at(clock: Clock) -> None:
    assert Readiness(clock=clock).credentials is CredentialsState.UNVERIFIED


def test_it_is_not_ready_before_it_listens(readiness: Readiness) -> None:
    readiness.judged(verdict(Outcome.ACCEPTED))
    readiness.listening = False

    assert not readiness.ready


def test_an_accepted_key_and_model_make_it_ready(readiness: Readiness) -> None:
    readiness.judged(verdict(Outcome.ACCEPTED, lifecycle="active"))

    assert readiness.ready
    assert not readiness.unverified
    assert (readiness.credentials, readiness.model) == (CredentialsState.ACCEPTED, ModelState.AVAILABLE)


def test_draining_makes_it_unready(readiness: Readiness) -> None:
    readiness.judged(verdict(Outcome.ACCEPTED))
    readiness.draining = True

    assert readiness.reason == "draining"


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (verdict(Outcome.KEY_REFUSED), (CredentialsState.REJECTED, ModelState.UNVERIFIED, "the API key is refused")),
        (verdict(Outcome.MODEL_REFUSED), (CredentialsState.ACCEPTED, ModelState.NOT_FOUND, "the model is not found")),
        (verdict(Outcome.MODEL_REFUSED, lifecycle="retired"), (CredentialsState.ACCEPTED, ModelState.RETIRED, "the model is retired")),
    ],
)
def test_a_definite_refusal_keeps_it_unready_for_ever(
    readiness: Readiness, clock: Clock, refusal: Verdict, expected: tuple[CredentialsState, ModelState, str]
) -> None:
    readiness.judged(refusal)
    clock.now += 1_000

    assert (readiness.credentials, readiness.model, readiness.reason) == expected


def test_a_refusal_after_acceptance_leaves_it_ready(readiness: Readiness) -> None:
    readiness.judged(verdict(Outcome.ACCEPTED))
    readiness.judged(verdict(Outcome.KEY_REFUSED))

    assert readiness.ready
    assert readiness.refused
    assert readiness.credentials is CredentialsState.REJECTED


@pytest.mark.parametrize(
    ("outcome", "refused"),
    [(None, False), (Outcome.ACCEPTED, False), (Outcome.UNJUDGEABLE, False), (Outcome.KEY_REFUSED, True), (Outcome.MODEL_REFUSED, True)],
)
def test_only_a_definite_judgement_refuses(readiness: Readiness, outcome: Outcome | None, *, refused: bool) -> None:
    if outcome is not None:
        readiness.judged(verdict(outcome))

    assert readiness.refused is refused


def test_what_cannot_be_judged_is_ready_as_unverified_after_ten_seconds(readiness: Readiness, clock: Clock) -> None:
    readiness.judged(verdict(Outcome.UNJUDGEABLE))

    clock.now += 9.9
    before = readiness.ready
    clock.now += 0.1

    assert (before, readiness.ready, readiness.unverified) == (False, True, True)
    assert readiness.credentials is CredentialsState.UNVERIFIED


def test_a_check_that_hangs_counts_as_unjudgeable_too(readiness: Readiness, clock: Clock) -> None:
    clock.now += 10.0

    assert readiness.ready
    assert readiness.unverified


def test_an_unverified_key_that_turns_out_refused_makes_it_unready(readiness: Readiness, clock: Clock) -> None:
    clock.now += 60.0
    readiness.judged(verdict(Outcome.KEY_REFUSED))

    assert not readiness.ready


def test_a_key_after_a_refused_one_is_judged_anew(readiness: Readiness, clock: Clock) -> None:
    readiness.judged(verdict(Outcome.KEY_REFUSED))
    clock.now += 60.0

    readiness.key_taken()
    before = (readiness.reason, readiness.refused)
    clock.now += 10.0

    assert before == ("key and model are being checked", False)
    assert readiness.ready


def test_an_outage_after_acceptance_changes_nothing(readiness: Readiness) -> None:
    readiness.judged(verdict(Outcome.ACCEPTED, lifecycle="active"))
    readiness.judged(verdict(Outcome.UNJUDGEABLE))

    assert readiness.ready
    assert not readiness.unverified
    assert readiness.model is ModelState.AVAILABLE


@pytest.mark.parametrize(
    ("retires_at", "days"),
    [(None, None), ("2026-11-30T00:00:00+00:00", 7), ("2026-11-30", 7), ("2026-11-22T18:00:00+00:00", 0), ("2026-01-01T00:00:00Z", 0)],
)
def test_the_days_to_a_models_retirement_are_whole_and_end_at_none(retires_at: str | None, days: int | None) -> None:
    now = datetime(2026, 11, 22, 17, tzinfo=UTC)

    assert Verdict(Outcome.ACCEPTED, retires_at=retires_at).days_to_retirement(now) == days
