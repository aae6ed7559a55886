"""What the parser raises: the client's fault is a 400, one of our own a 500, and a line in the log that says where."""

import re

import httptools
import pytest
from structlog.testing import capture_logs

from chatbot_service.refusals import derive_problem

CANARY = "canary"


class Broken:
    def on_url(self, _url: bytes) -> None:
        raise ValueError(CANARY)


def raised(callbacks: object, data: bytes) -> httptools.HttpParserError:
    """Return what the parser raises for data, and from what."""
    with pytest.raises(httptools.HttpParserError) as caught:
        httptools.HttpRequestParser(callbacks).feed_data(data)
    return caught.value


def test_a_fault_of_ours_is_logged_with_where_it_was_raised_and_told_to_nobody() -> None:
    error = raised(Broken(), b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")

    with capture_logs() as logged:
        problem = derive_problem(error)

    [line] = logged
    assert (line["event"], line["log_level"]) == ("request failed", "error")
    assert re.search(r'/test_refusals\.py", line \d+, in on_url\n.*\nbuiltins\.ValueError$', line["stack_trace"])
    assert problem.status == 500
    assert CANARY not in f"{problem.detail}{line}"


def test_a_fault_of_the_client_is_in_the_parsers_words_and_not_logged() -> None:
    error = raised(object(), b"GET / HTTP/9.9\r\n\r\n")

    with capture_logs() as logged:
        problem = derive_problem(error)

    assert (problem.status, logged) == (400, [])
    assert problem.detail.startswith("This is no HTTP/1.1: ")
