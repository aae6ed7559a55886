"""Which changes of a status are told as Events, and how often."""

import pytest

from chatbot_operator.events import REPEAT_SECONDS, Told, Transition, transitions
from chatbot_operator.resource import Manifest


def status(**conditions: tuple[str, str]) -> Manifest:
    return {
        "conditions": [{"type": type_, "status": value, "reason": why, "message": f"{why}."} for type_, (value, why) in conditions.items()]
    }


NOTHING: tuple[Transition, ...] = ()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, status(Ready=("False", "RollingOut"), Available=("False", "NoReadyPods")), NOTHING),
        ({}, status(Stalled=("True", "Conflict")), (Transition("Warning", "Conflict", "Conflict."),)),
        (
            status(Ready=("False", "CrashLoop")),
            status(Ready=("True", "PodsReady")),
            (Transition("Normal", "PodsReady", "PodsReady."),),
        ),
        (
            status(Ready=("False", "CrashLoop")),
            status(Ready=("False", "RollingOut")),
            (Transition("Normal", "RollingOut", "RollingOut."),),
        ),
        (
            status(Ready=("False", "KeyRejected"), Stalled=("True", "KeyRejected")),
            status(Ready=("False", "RollingOut"), Reconciling=("True", "RollingOut")),
            (Transition("Normal", "RollingOut", "RollingOut."),),
        ),
        (
            status(Ready=("True", "PodsReady")),
            status(Ready=("False", "KeyRejected"), Stalled=("True", "KeyRejected")),
            (Transition("Warning", "KeyRejected", "KeyRejected."),),
        ),
        (status(Ready=("False", "RollingOut")), status(Ready=("True", "PodsReady")), NOTHING),
        (status(Ready=("True", "PodsReady")), status(Ready=("False", "RollingOut")), NOTHING),
        (
            status(Ready=("False", "RollingOut"), Available=("False", "NoReadyPods")),
            status(Ready=("True", "PodsReady"), Available=("True", "PodsServing")),
            NOTHING,
        ),
        (
            status(Ready=("True", "PodsReady"), Available=("True", "PodsServing")),
            status(Ready=("False", "RollingOut"), Available=("False", "NoReadyPods")),
            (Transition("Warning", "NoReadyPods", "NoReadyPods."),),
        ),
        (
            status(Ready=("True", "PodsReady")),
            status(Ready=("False", "PodsUnavailable")),
            (Transition("Warning", "PodsUnavailable", "PodsUnavailable."),),
        ),
        (
            status(Ready=("False", "CrashLoop"), Available=("False", "NoReadyPods")),
            status(Ready=("False", "CrashLoop"), Available=("True", "PodsServing")),
            (Transition("Normal", "PodsServing", "PodsServing."),),
        ),
        (status(Available=("True", "PodsServing")), status(Available=("False", "ScaledToZero")), NOTHING),
        (status(Available=("False", "ScaledToZero")), status(Available=("False", "NoReadyPods")), NOTHING),
        (status(Ready=("True", "PodsReady")), status(Ready=("True", "ScaledToZero")), NOTHING),
        (
            status(Stalled=("True", "Conflict")),
            status(Stalled=("True", "ApplyRefused")),
            (Transition("Warning", "ApplyRefused", "ApplyRefused."),),
        ),
        (status(Stalled=("True", "Conflict")), status(Stalled=("True", "Conflict")), NOTHING),
        (status(CredentialsValid=("True", "Accepted")), status(CredentialsValid=("Unknown", "NoReport")), NOTHING),
        (
            status(SLOMet=("True", "ObjectivesMet"), UpstreamAvailable=("False", "AllBreakersOpen")),
            status(SLOMet=("False", "ObjectivesMissed"), UpstreamAvailable=("True", "BreakersClosed")),
            (Transition("Normal", "BreakersClosed", "BreakersClosed."), Transition("Warning", "ObjectivesMissed", "ObjectivesMissed.")),
        ),
        (status(SLOMet=("Unknown", "TooLittleTraffic")), status(SLOMet=("True", "ObjectivesMet")), NOTHING),
        (status(ModelAvailable=("True", "ModelFound")), status(ModelAvailable=("True", "ModelDeprecated")), NOTHING),
        (status(Ready=("False", "RollingOut")), status(Reconciling=("True", "RollingOut"), Ready=("False", "RollingOut")), NOTHING),
    ],
)
def test_only_transitions_are_told(old: Manifest, new: Manifest, expected: tuple[Transition, ...]) -> None:
    assert transitions(old, new) == expected


def test_the_same_words_about_the_same_object_are_said_once_in_ten_minutes() -> None:
    now = 1000.0
    told = Told(clock=lambda: now)
    lost, back = Transition("Warning", "PodsUnavailable", "2 of 3."), Transition("Normal", "PodsReady", "3 of 3.")

    assert not told.is_repetition("a", lost)
    told.add("a", lost)

    assert told.is_repetition("a", lost)
    assert not told.is_repetition("a", back)
    assert not told.is_repetition("b", lost)
    now += REPEAT_SECONDS
    assert not told.is_repetition("a", lost)
