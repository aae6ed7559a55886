"""When what exists was listed, and who is not waited for."""

import pytest

from chatbot_operator import errors
from chatbot_operator.first_lists import DENIED_SECONDS, FirstLists

KINDS = ("Deployment", "Service")
DENIED = errors.AccessDenied("no Role")


def deny(lists: FirstLists, namespace: str | None, *, kinds: tuple[str, ...] = KINDS, times: int = 2) -> None:
    for kind in kinds * times:
        lists.failed(kind, namespace, DENIED)


def test_every_kind_of_every_namespace_is_waited_for() -> None:
    lists = FirstLists(KINDS, ("a", "b"))

    for namespace in ("a", "b"):
        for kind in KINDS:
            assert not lists.complete
            lists.succeeded(kind, namespace)

    assert lists.complete


@pytest.mark.parametrize("denied_first", [True, False])
def test_namespace_that_is_denied_again_and_again_is_not_waited_for(*, denied_first: bool) -> None:
    lists = FirstLists(KINDS, ("a", "b"))

    if denied_first:
        deny(lists, "a")
    for kind in KINDS:
        assert not lists.complete
        lists.succeeded(kind, "b")
    if not denied_first:
        deny(lists, "a")

    assert lists.complete


def test_one_denial_may_pass() -> None:
    lists = FirstLists(KINDS, ("a", "b"))

    deny(lists, "a", times=1)
    for kind in KINDS:
        lists.succeeded(kind, "b")

    assert not lists.complete


@pytest.mark.parametrize("namespaces", [(None,), ("a", "b")])
def test_operator_that_may_list_nowhere_is_never_complete(namespaces: tuple[str | None, ...]) -> None:
    lists = FirstLists(KINDS, namespaces)

    for namespace in namespaces:
        deny(lists, namespace)
        lists.succeeded("Service", namespace)

    assert not lists.complete


@pytest.mark.parametrize("error", [errors.ClusterUnavailable("down"), errors.ObjectNotFound("no CRD")])
def test_what_is_not_denied_is_waited_for_however_often_it_fails(error: errors.ClusterError) -> None:
    lists = FirstLists(KINDS, ("a", "b"))

    for kind in KINDS:
        lists.succeeded(kind, "b")
        for _ in range(5):
            lists.failed(kind, "a", error)

    assert not lists.complete


def test_refusal_is_said_aloud_once_until_a_list_succeeds_and_an_outage_never() -> None:
    lists = FirstLists(KINDS, (None,))

    assert not lists.failed("Service", None, errors.ClusterUnavailable("down"))
    assert [lists.failed("Service", None, DENIED) for _ in range(3)] == [True, False, False]
    assert lists.failed("Deployment", None, DENIED)
    lists.succeeded("Service", None)
    assert lists.failed("Service", None, DENIED)


def test_namespace_is_listed_once_all_its_kinds_are_whatever_is_complete_already() -> None:
    lists = FirstLists(KINDS, ("a", "b"))
    deny(lists, "a")
    for kind in KINDS:
        lists.succeeded(kind, "b")
    assert lists.complete

    listed = []
    for kind in KINDS:
        listed.append((lists.has("a"), lists.has("b")))
        lists.succeeded(kind, "a")

    assert listed == [(False, True), (False, True)]
    assert lists.has("a")


@pytest.mark.parametrize(
    ("namespaces", "status_code", "seconds"),
    [(("a", "b"), 403, DENIED_SECONDS), (("a", "b"), 401, 4), (("a",), 403, 4), ((None,), 403, 4)],
)
def test_one_of_several_namespaces_that_denies_is_asked_seldom(
    namespaces: tuple[str | None, ...], status_code: int, seconds: float
) -> None:
    error = errors.AccessDenied("no Role", status_code=status_code)

    assert FirstLists(KINDS, namespaces).longest_pause_seconds(error, otherwise=4) == seconds
