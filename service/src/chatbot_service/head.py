"""What a request's head must be beyond what llhttp asks of it. Pure.

llhttp refuses by itself bare CR and LF, NUL, folded and malformed fields, a second Content-Length, and one beside
Transfer-Encoding; the tests hold it to that. Whatever is wrong is the client's doing, and none of it a 5xx: those are counted as ours.
"""

import re
from collections.abc import Sequence

from chatbot_service.errors import HttpProblem

MAX_BYTES = 16 * 1024
MAX_FIELDS = 100

_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")


def check_head(version: str, target: bytes, fields: Sequence[tuple[bytes, bytes]]) -> None:
    """Raise HttpProblem for a head that is too large, ambiguous or not HTTP/1; the fields' names are in lower case."""
    size = len(target) + len(b"".join(map(b"".join, fields))) + 4 * len(fields)
    if size > MAX_BYTES or len(fields) > MAX_FIELDS:
        raise too_large()
    if version not in ("1.1", "1.0"):
        raise HttpProblem(400, "The version of HTTP is neither 1.1 nor 1.0.")
    names = [name for name, _ in fields]
    if b"transfer-encoding" in names:
        _check_codings(version, fields)
    hosts = names.count(b"host")
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise HttpProblem(400, "A request has exactly one Host.")
    if hosts and not _HOST.fullmatch(fields[names.index(b"host")][1]):
        raise HttpProblem(400, "The Host is not the name of a host.")


def _check_codings(version: str, fields: Sequence[tuple[bytes, bytes]]) -> None:
    codings = [value.lower() for name, value in fields if name == b"transfer-encoding"]
    if version != "1.1" or any(coding != b"chunked" for coding in codings):
        raise HttpProblem(400, "The only transfer coding taken is chunked, in HTTP/1.1.")


def too_large() -> HttpProblem:
    """Return the refusal of a head that exceeds either limit."""
    return HttpProblem(431, f"The request's head exceeds {MAX_BYTES} bytes or {MAX_FIELDS} fields.")
