"""What stands for an answer of the API server; tests/api has the real ones."""

import pytest

from chatbot_operator import errors
from chatbot_operator.answers import check_object, decode, failure_of


@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"\x1f\x8b\x08", b"[]", b"null", b'"ok"'])
def test_what_is_no_json_object_is_an_outage(body: bytes) -> None:
    with pytest.raises(errors.ClusterUnavailable, match=r"^GET /x: the answer is no JSON"):
        decode(body, what="GET /x")


@pytest.mark.parametrize("answer", [{}, {"items": []}, {"metadata": {}}, {"metadata": None}, {"metadata": {"resourceVersion": 7}}, None])
def test_object_without_a_version_is_an_outage(answer: object) -> None:
    with pytest.raises(errors.ClusterUnavailable, match=r"^watch /x: the answer is no object of the API"):
        check_object(answer, what="watch /x")


@pytest.mark.parametrize(
    ("status_code", "body", "kind"),
    [
        (302, b"", errors.ClusterUnavailable),
        (403, b"<html>", errors.RequestRefused),
        (409, b'{"details":{"causes":["not an object"]}}', errors.ObjectConflict),
        (410, b"{}", errors.WatchExpired),
        (500, b'{"message":{"not":"a text"}}', errors.ClusterUnavailable),
        (500, b'{"message":"Internal error occurred: failed calling webhook \\"a\\": EOF"}', errors.WebhookUnavailable),
    ],
)
def test_refusal_in_any_shape_is_an_error_of_ours(status_code: int, body: bytes, kind: type[errors.ClusterError]) -> None:
    assert type(failure_of(status_code, body, what="GET /x", retry_after="soon")) is kind
