import inspect

import pytest

from chatbot_service import errors
from chatbot_service.errors import HttpProblem, NotReady, Problem, ServiceError, Unprocessable, UpstreamRateLimited, UpstreamTimeout

CLASSES = [item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, ServiceError)]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_is_in_the_drawn_tree(kind: type[ServiceError]) -> None:
    assert kind.__name__ in (errors.__doc__ or "")


def test_a_problem_is_answered_as_rfc_9457_writes_it() -> None:
    body = Unprocessable([("/messages/0", "is wrong")]).body("id-1")

    assert body == {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "/messages/0: is wrong",
        "code": "unprocessable",
        "correlation_id": "id-1",
        "errors": [{"pointer": "/messages/0", "detail": "is wrong"}],
    }


@pytest.mark.parametrize(
    ("problem", "retry_after"),
    [
        (UpstreamRateLimited("x", retry_after_seconds=7.2), 8),
        (UpstreamRateLimited("x"), 1),
        (UpstreamRateLimited("x", retry_after_seconds=0), 1),
        (NotReady("x"), 1),
        (UpstreamTimeout("x"), None),
        (HttpProblem(404, "x"), None),
    ],
    ids=repr,
)
def test_every_429_and_503_says_when_to_come_back(problem: Problem, retry_after: int | None) -> None:
    assert problem.retry_after == retry_after
