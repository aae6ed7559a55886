"""The audit log, read while it grows and is rotated."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bench.operator.audit import AuditLog, Request
from bench.operator.figures import Verb

BEGUN = "2026-01-01T00:00:00.500000Z"
ENDED = "2026-01-01T00:00:00.750000Z"


def event(name: str, *, user: str = "mine", verb: str = "patch", resource: str = "services", **more: Any) -> dict[str, Any]:
    reference = {"resource": resource, "name": name, "subresource": more.pop("subresource", "")}
    return {
        "stage": "ResponseComplete",
        "verb": verb,
        "user": {"username": user},
        "objectRef": reference,
        "responseStatus": {"code": 200},
        "requestReceivedTimestamp": BEGUN,
        "stageTimestamp": ENDED,
    } | more


def line(found: dict[str, Any]) -> str:
    return json.dumps(found, separators=(",", ":")) + "\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "audit.log"
    path.touch()
    return path


@pytest.fixture
def log(path: Path) -> Iterator[AuditLog]:
    with closing(AuditLog(path, users=["mine"])) as log:
        yield log


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def names(requests: list[Request]) -> list[str]:
    return [request.name for request in requests]


def test_only_what_is_new_and_asked_by_these_users_is_read(path: Path, log: AuditLog) -> None:
    append(path, line(event("first")) + line(event("other", user="not-mine")))
    assert names(log.read()) == ["first"]

    append(path, line(event("begun", stage="ResponseStarted")) + line(event("second")))
    assert names(log.read()) == ["second"]


def test_a_line_that_is_half_written_is_read_when_it_is_whole(path: Path, log: AuditLog) -> None:
    text = line(event("late"))
    append(path, text[:40])
    assert log.read() == []

    append(path, text[40:])
    assert names(log.read()) == ["late"]


def test_nothing_is_lost_when_a_new_file_is_begun(path: Path, log: AuditLog) -> None:
    append(path, line(event("old")))
    path.rename(path.with_name("audit-1.log"))
    append(path, line(event("new")))

    assert names(log.read()) == ["old", "new"]


def test_times_are_seconds() -> None:
    request = Request.parse(event("a"))

    assert request.ended - request.begun == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("verb", "resource", "subresource", "purpose", "writes"),
    [
        ("patch", "deployments", "", Verb.APPLY, True),
        ("patch", "chatbotdeployments", "status", Verb.STATUS, True),
        ("create", "events", "", Verb.EVENT, True),
        ("get", "services", "", Verb.READ, False),
        ("list", "pods", "", Verb.READ, False),
        ("delete", "poddisruptionbudgets", "", Verb.DELETE, True),
        ("create", "secrets", "", Verb.OTHER, True),
        ("update", "leases", "", None, False),
        ("watch", "deployments", "", None, False),
    ],
)
def test_every_request_has_one_purpose(verb: str, resource: str, subresource: str, purpose: Verb | None, writes: bool) -> None:  # noqa: FBT001
    request = Request.parse(event("a", verb=verb, resource=resource, subresource=subresource))

    assert (request.purpose, request.is_write) == (purpose, writes)
