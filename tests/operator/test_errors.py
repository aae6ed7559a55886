import inspect
import re

from chatbot_operator import errors


def test_docstring_draws_every_error() -> None:
    drawn = set(re.findall(r"── (\w+)", errors.__doc__ or "")) | {"OperatorError"}

    defined = {name for name, _ in inspect.getmembers(errors, inspect.isclass)}

    assert drawn == defined


def test_every_error_has_one_root() -> None:
    for _, error in inspect.getmembers(errors, inspect.isclass):
        assert issubclass(error, errors.OperatorError)


def test_cluster_error_carries_what_a_retry_needs() -> None:
    error = errors.ClusterUnavailable("busy", status_code=429, reason="TooManyRequests", retry_after_seconds=2.0)

    assert (error.status_code, error.reason, error.retry_after_seconds) == (429, "TooManyRequests", 2.0)
