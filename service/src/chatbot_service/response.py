"""Answers in bytes, as far as they cost most: the head, for which uvicorn searches each field twice, and each piece of a stream.

The end of an answer, and whatever has to wait, is uvicorn's. Fields come with names in lower case, and without Connection and
Transfer-Encoding, which are written here.
"""

import sys
from collections.abc import Awaitable, Generator, Sequence
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

WITHOUT_BODY = (204, 304)


def build_head(status: int, fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the head with these fields; raises RuntimeError for a line break in one."""
    lines = [*map(b": ".join, fields)]
    together = b"".join(lines)
    if b"\r" in together or b"\n" in together:
        raise RuntimeError("A header field has a line break.")
    return b"%b%b\r\n\r\n" % (STATUS_LINE[status], b"\r\n".join(lines))


class ResponseWriter:
    """Writes the answer to the request of `cycle` as far as it can be written at once, and leaves everything else to that."""

    __slots__ = ("_cycle", "_until_close")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._until_close = False

    def send(self, message: Any) -> Awaitable[None]:
        """Send `message`, as ASGI says; raises RuntimeError for a line break in a field."""
        cycle = self._cycle
        if self._until_close and not message.get("more_body"):
            cycle.expected_content_length = len(message.get("body", b""))  # so that uvicorn, which counts, finds the end to be right
        if cycle.disconnected or cycle.flow.write_paused:
            return cycle.send(message)
        if not cycle.response_started:
            if message["type"] != "http.response.start":
                return cycle.send(message)
            self._begin(message["status"], [*cycle.default_headers, *message["headers"]])
            return _WRITTEN
        if cycle.chunked_encoding and not cycle.response_complete and message.get("more_body") and (body := message.get("body")):
            cycle.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
            return _WRITTEN
        return cycle.send(message)

    def _begin(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """Write the head and note how the body will be framed: RFC 9112, section 6, which knows no chunks for HTTP/1.0."""
        cycle = self._cycle
        length = dict(fields).get(b"content-length")
        is_open = length is None and cycle.scope["method"] != "HEAD" and status not in WITHOUT_BODY
        until_close = is_open and cycle.scope["http_version"] == "1.0"
        if is_open and not until_close:
            fields.append((b"transfer-encoding", b"chunked"))
        if until_close or not cycle.keep_alive:
            fields.append((b"connection", b"close"))
        head = build_head(status, fields)
        self._until_close = until_close
        cycle.chunked_encoding = is_open and not until_close
        cycle.expected_content_length = sys.maxsize if until_close else int(length or 0)
        cycle.keep_alive = cycle.keep_alive and not until_close
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        cycle.transport.write(head)


class _Written:
    """What there is to wait for after something has been written: nothing."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_WRITTEN = _Written()
