"""What stands for an answer of the API server; tests/api has the real ones."""

from collections.abc import Callable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_operator import errors
from chatbot_operator.answers import check_object, decode, failure_of, trim
from chatbot_operator.resource import Manifest


@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"\x1f\x8b\x08", b"[]", b"null", b'"ok"'])
def test_what_is_no_json_object_is_an_outage(body: bytes) -> None:
    with pytest.raises(errors.ClusterUnavailable, match=r"^GET /x: the answer is no JSON"):
        decode(body, what="GET /x")


FIELDS: list[Manifest] = [{"fieldsV1": {"f:env": {'k:{"name":"A"}': {".": {}}}}, "manager": "a"}, {"fieldsV1": {}, "manager": "b"}]
HOSTILE_FIELDS: list[Manifest] = [{"fieldsV1": {'k:{"name":"}],"}': {}, 'v:"}]"': {}, 'v:"}]}"': {}}}]
HOSTILE_NAMES: list[Manifest] = [{"manager": "}],", "fieldsV1": {"f:}],": {"f:}}]": {}}, "f:}]:": {}}}, {"manager": "}]}"}]


def some_list(managed: Manifest, later: Manifest) -> bytes:
    """Return a list in the API server's words: managedFields are the last of an object's metadata, or before its name."""
    note = {"note": ',"managedFields":[{"}]'}
    item = {"metadata": {"resourceVersion": "2", **managed, **later}, "spec": {"rules": [{"to": [{"port": 1}]}]}}
    return orjson.dumps({"metadata": {"resourceVersion": "3", "annotations": note}, "items": [item, item]})


@pytest.mark.parametrize("fields", [FIELDS, HOSTILE_FIELDS, HOSTILE_NAMES, [{}], []])
@pytest.mark.parametrize("later", [{}, {"name": "bot"}])
def test_managed_fields_are_left_out_and_nothing_else(fields: list[Manifest], later: Manifest) -> None:
    answer = trim(decode(some_list({"managedFields": fields}, later), what="GET /x"))

    assert answer == orjson.loads(some_list({}, later))


def test_managed_fields_are_not_even_decoded() -> None:
    assert decode(some_list({"managedFields": FIELDS}, {}), what="GET /x") == orjson.loads(some_list({}, {}))


@pytest.mark.parametrize("around", [lambda bot: bot, lambda bot: {"apiVersion": bot["apiVersion"], "items": [bot], "metadata": {}}])
def test_field_of_that_name_in_a_custom_resource_is_kept(around: Callable[[Manifest], Manifest]) -> None:
    affinity = {"a": 1, "managedFields": [{"b": 1}]}
    bot = {"apiVersion": "chatbot.dev/v1alpha1", "metadata": {"name": "bot"}, "spec": {"scheduling": {"affinity": affinity}}}

    assert decode(orjson.dumps(around(bot)), what="GET /x") == around(bot)


@given(
    names=st.lists(st.text('}]{[",:\\\\f.', max_size=10), min_size=1, max_size=3), value=st.sampled_from([{}, {".": {}}, {"f:name": {}}])
)
def test_managed_fields_may_have_any_names(names: list[str], value: Manifest) -> None:
    fields = [{"fieldsV1": {"f:metadata": dict.fromkeys(names, value)}, "manager": name} for name in names]

    answer = trim(decode(some_list({"managedFields": fields}, {"name": "bot"}), what="GET /x"))

    assert answer == orjson.loads(some_list({}, {"name": "bot"}))


@pytest.mark.parametrize("answer", [{}, {"items": []}, {"metadata": {}}, {"metadata": None}, {"metadata": {"resourceVersion": 7}}, None])
def test_object_without_a_version_is_an_outage(answer: object) -> None:
    with pytest.raises(errors.ClusterUnavailable, match=r"^watch /x: the answer is no object of the API"):
        check_object(answer, what="watch /x")


DENIED_BY_A_WEBHOOK = b'{"message":"admission webhook \\"a.b\\" denied the request: no"}'
DENIED_BY_A_POLICY = b"{\"message\":\"b is forbidden: ValidatingAdmissionPolicy 'p' with binding 'q' denied request: no\"}"


@pytest.mark.parametrize(
    ("status_code", "body", "kind"),
    [
        (302, b"", errors.ClusterUnavailable),
        (403, b"<html>", errors.RequestRefused),
        (409, b'{"details":{"causes":["not an object"]}}', errors.ObjectConflict),
        (410, b"{}", errors.WatchExpired),
        (500, b'{"message":{"not":"a text"}}', errors.ClusterUnavailable),
        *((code, DENIED_BY_A_WEBHOOK, errors.RequestRefused) for code in (400, 401, 403, 404, 409, 410)),
        *((code, DENIED_BY_A_WEBHOOK, errors.WebhookUnavailable) for code in (429, 500, 503)),
        (401, DENIED_BY_A_POLICY, errors.RequestRefused),
        (422, b'{"message":"conflict","details":{"causes":[{"field":"metadata.uid"}]}}', errors.ObjectConflict),
        (500, b'{"message":"Internal error occurred: failed calling webhook \\"a\\": EOF"}', errors.WebhookUnavailable),
    ],
)
def test_refusal_in_any_shape_is_an_error_of_ours(status_code: int, body: bytes, kind: type[errors.ClusterError]) -> None:
    assert type(failure_of(status_code, body, what="GET /x", retry_after="soon")) is kind
