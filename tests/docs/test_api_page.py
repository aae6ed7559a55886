"""docs/api.md says what the service's code does: its paths, its codes and their statuses, its events and its limits."""

import re
from http import HTTPStatus
from pathlib import Path

import pytest

from chatbot_service import bodies, errors, event_stream, head, protocol, validation
from chatbot_service.port import Patience
from tests.docs.pages import DOCS, ROOT

PAGE = (DOCS / "api.md").read_text()
PROBLEMS, PROTOCOL = PAGE.partition("## Errors")[2].split("What is no proper HTTP")
SOURCE = ROOT / "service/src/chatbot_service"
PATIENCE = Patience()
KIB, MIB = 1024, 1024 * 1024
SAID = {
    "head": f"{head.MAX_BYTES // KIB} KiB, {head.MAX_FIELDS} fields, {PATIENCE.head:.0f} s to arrive",
    "values": f"{validation.MAX_VALUES:,} JSON values".replace(",", " "),
    "first bytes": f"{bodies.PATIENCE_SECONDS:.0f} s for the first {bodies.FIRST_BYTES // KIB} KiB",
    "pace": f"then {bodies.BYTES_PER_SECOND // KIB} KiB a second without a pause of {bodies.PATIENCE_SECONDS:.0f} s",
    "all bodies": f"| all bodies of a pod | {bodies.ALL_BYTES // MIB} MiB |",
    "refused body": f"{protocol.MAX_UNREAD_BYTES // MIB} MiB more is read",
    "stalled reader": f"reads nothing for {PATIENCE.reading:.0f} seconds is cut",
    "ping": "every ten seconds" if event_stream.PING_SECONDS == 10.0 else "another pace",
}


def rows(text: str) -> set[tuple[int, str]]:
    """Return status and code of every row of a table."""
    return {(int(status), code) for status, code in re.findall(r"^\| (\d{3}) \| `(\w+)` \|", text, flags=re.MULTILINE)}


def kinds_of(problem: type[errors.Problem]) -> set[type[errors.Problem]]:
    """Return the problem and all that are more particular."""
    return {problem}.union(*(kinds_of(kind) for kind in problem.__subclasses__()))


def words_in(pattern: str, *files: str) -> set[str]:
    """Return what the pattern's group finds in files of the service."""
    return {word for file in files for word in re.findall(pattern, Path(SOURCE / file).read_text())}


def test_every_problem_is_told_with_its_status_and_no_other() -> None:
    kinds = kinds_of(errors.Problem) - {errors.HttpProblem, errors.UpstreamProblem}

    assert rows(PROBLEMS) == {(kind.status, kind.code) for kind in kinds}


def test_what_http_itself_refuses_is_told_by_http_s_names() -> None:
    refused = {int(status) for status in words_in(r"HttpProblem\((\d{3})", "app.py", "head.py", "protocol.py", "refusals.py")}
    after_an_answer, unforeseen = 413, 500

    assert {status for status, _ in rows(PROTOCOL)} == refused - {after_an_answer, unforeseen}
    assert all(HTTPStatus(status).name.lower() == code for status, code in rows(PROTOCOL))


def test_every_event_of_a_stream_is_told() -> None:
    events = re.findall(r"^\| `(\w+)` \| `\{", PAGE, flags=re.MULTILINE)

    assert set(events) == words_in(r'encode_event\("(\w+)"', "routes/chat.py", "event_stream.py")


def test_every_path_is_told() -> None:
    paths = words_in(r'"(/[a-z/]+)"', "app.py")

    assert {path for path in paths if path not in PAGE} == set()


@pytest.mark.parametrize("what", SAID)
def test_limits_are_those_of_the_code(what: str) -> None:
    assert SAID[what] in " ".join(PAGE.split())
