"""What is an answer and what is none, in whatever pieces it comes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_service.errors import UpstreamGarbage
from chatbot_service.http1 import MAX_BARREN_BYTES, AnswerParser

WHOLE = {
    "with a length": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "in chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n",
    "with trailers": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-checksum: 1\r\n\r\n",
    "after interim answers": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
}
LAST = {
    "closed by its own word": b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "followed by another": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" * 2,
    "followed by the beginning of another": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTT",
    "followed by garbage": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok\0",
}
GARBAGE = {
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "a change of protocol": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
    "a length and chunks": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length beyond all": b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
    "a chunk of no length": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "a folded field": b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
    "a head without end": b"HTTP/1.1 200 OK\r\nx: " + b"a" * MAX_BARREN_BYTES,
    "interim answers without end": b"HTTP/1.1 100 Continue\r\n\r\n" * 3000,
    "a trailer without end": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: " + b"a" * MAX_BARREN_BYTES,
}


def fed(*pieces: bytes) -> AnswerParser:
    answer = AnswerParser()
    for piece in pieces:
        answer.feed(piece)
    return answer


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE)
def test_a_whole_answer_leaves_the_connection_to_the_next(data: bytes) -> None:
    answer = fed(data)

    assert (answer.status, answer.take(), answer.complete, answer.reusable) == (200, b"ok", True, True)


@pytest.mark.parametrize("data", LAST.values(), ids=LAST)
def test_an_answer_that_is_the_last_one_or_not_the_only_one_does_not(data: bytes) -> None:
    answer = fed(data)

    assert (answer.status, answer.take(), answer.complete, answer.reusable) == (200, b"ok", True, False)


def test_what_follows_later_spoils_the_connection_too() -> None:
    answer = fed(WHOLE["with a length"], b"HTT")

    assert (answer.take(), answer.complete, answer.reusable) == (b"ok", True, False)


@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_body_whatever_their_head_says(status: int) -> None:
    answer = fed(b"HTTP/1.1 %d X\r\ncontent-length: 5\r\n\r\n" % status)

    assert (answer.status, answer.take(), answer.complete) == (status, b"", True)


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_told_as_such(data: bytes) -> None:
    with pytest.raises(UpstreamGarbage):
        fed(data)


def test_a_body_longer_than_any_head_is_no_garbage() -> None:
    pieces = [b"a" * 60_000] * 3

    answer = fed(b"HTTP/1.1 200 OK\r\ncontent-length: 180000\r\n\r\n", *pieces)

    assert (len(answer.body), answer.complete) == (180_000, True)


def test_names_of_fields_are_compared_in_lower_case_and_the_last_one_stands() -> None:
    assert fed(b"HTTP/1.1 200 OK\r\nRequest-Id: a\r\nrequest-id: b\r\n\r\n").headers == {b"request-id": b"b"}


def test_trailers_and_interim_heads_are_no_part_of_the_head() -> None:
    assert set(fed(WHOLE["with trailers"]).headers) == {b"transfer-encoding"}
    assert set(fed(WHOLE["after interim answers"]).headers) == {b"content-length"}


@pytest.mark.parametrize(
    ("data", "complete"),
    [
        (b"", False),
        (b"HTTP/1.1 200 OK\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\n\r\nok", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", False),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok", False),
    ],
)
def test_the_end_of_the_connection_ends_only_what_names_no_other_end(data: bytes, *, complete: bool) -> None:
    answer = fed(data)

    answer.end()

    assert (answer.complete, answer.reusable) == (complete, False)


@given(data=st.sampled_from([*WHOLE.values(), *LAST.values()]), cuts=st.lists(st.integers(0, 200), max_size=8))
def test_pieces_change_nothing(data: bytes, cuts: list[int]) -> None:
    bounds = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})

    whole, pieces = fed(data), fed(*(data[start:end] for start, end in itertools.pairwise(bounds)))

    state = [(answer.status, answer.headers, answer.take(), answer.complete, answer.reusable) for answer in (whole, pieces)]
    assert state[0] == state[1]


@given(data=st.binary(max_size=300), prefix=st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", WHOLE["in chunks"][:50]]))
def test_no_bytes_raise_anything_else(data: bytes, prefix: bytes) -> None:
    try:
        answer = fed(prefix, data)
    except UpstreamGarbage:
        return
    assert len(answer.body) <= len(data) + len(prefix)
