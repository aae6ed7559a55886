"""What is said of a child that cannot be as it should; tests/api has the children themselves."""

import pytest

from chatbot_operator import errors
from chatbot_operator.children import Outcome, problem_with
from chatbot_operator.resource import Manifest

SERVICE: Manifest = {"kind": "Service", "metadata": {"name": "bot"}}
TOLD: dict[str, tuple[errors.ClusterError, str, bool]] = {
    "foreign": (errors.ForeignObject("Service bot exists"), "Conflict", False),
    "leaving": (errors.BeingDeleted("Waits for Service bot to go"), "WaitingForDeletion", True),
    "refused": (errors.RequestRefused("no.", status_code=422), "ApplyRefused", False),
    "a right that is missing": (errors.AccessDenied("no.", status_code=403), "AccessDenied", True),
    "a webhook's silence": (errors.WebhookUnavailable("no.", status_code=500), "WebhookUnavailable", True),
}


@pytest.mark.parametrize(("error", "reason", "passing"), TOLD.values(), ids=TOLD.keys())
def test_what_is_about_one_child_is_told(error: errors.ClusterError, reason: str, passing: bool) -> None:  # noqa: FBT001 (a table's column)
    problem = problem_with(SERVICE, error)

    assert (problem.reason, problem.passing) == (reason, passing)
    assert "Service bot" in problem.message


@pytest.mark.parametrize(
    "error",
    [
        errors.AccessDenied("who are you?", status_code=401),
        errors.RequestRefused("no.", status_code=403, reason="NamespaceTerminating"),
        errors.ClusterUnavailable("busy", status_code=429),
        errors.ObjectConflict("modified", status_code=409),
    ],
    ids=str,
)
def test_what_is_about_more_than_one_child_is_raised(error: errors.ClusterError) -> None:
    with pytest.raises(type(error)) as raised:
        problem_with(SERVICE, error)

    assert raised.value is error


def test_what_somebody_must_mend_is_told_before_what_may_pass() -> None:
    outcome = Outcome()

    for error in (errors.BeingDeleted("waits"), errors.RequestRefused("first"), errors.RequestRefused("second")):
        with outcome.noting(SERVICE):
            raise error

    assert outcome.problem == problem_with(SERVICE, errors.RequestRefused("first"))
