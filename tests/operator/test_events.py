import pytest

from chatbot_operator.events import Transition, transitions
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
            status(Ready=("False", "RollingOut")),
            status(Ready=("True", "PodsReady")),
            (Transition("Normal", "PodsReady", "PodsReady."),),
        ),
        (
            status(Ready=("True", "PodsReady")),
            status(Ready=("False", "RollingOut")),
            (Transition("Normal", "RollingOut", "RollingOut."),),
        ),
        (
            status(Ready=("True", "PodsReady")),
            status(Ready=("False", "PodsUnavailable")),
            (Transition("Warning", "PodsUnavailable", "PodsUnavailable."),),
        ),
        (
            status(Available=("True", "PodsServing")),
            status(Available=("False", "ScaledToZero")),
            (Transition("Normal", "ScaledToZero", "ScaledToZero."),),
        ),
        (status(Available=("False", "ScaledToZero")), status(Available=("False", "NoReadyPods")), NOTHING),
        (status(Ready=("True", "PodsReady")), status(Ready=("True", "ScaledToZero")), NOTHING),
        (
            status(Stalled=("True", "Conflict")),
            status(Stalled=("True", "ApplyRefused")),
            (Transition("Warning", "ApplyRefused", "ApplyRefused."),),
        ),
        (status(Stalled=("True", "Conflict")), status(Stalled=("True", "Conflict")), NOTHING),
        (status(CredentialsValid=("True", "Accepted")), status(CredentialsValid=("Unknown", "NoReport")), NOTHING),
        (status(Ready=("False", "RollingOut")), status(Reconciling=("True", "RollingOut"), Ready=("False", "RollingOut")), NOTHING),
    ],
)
def test_only_transitions_are_told(old: Manifest, new: Manifest, expected: tuple[Transition, ...]) -> None:
    assert transitions(old, new) == expected
