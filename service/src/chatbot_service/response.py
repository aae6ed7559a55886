"""What an answer costs most by, in bytes: its head, for which uvicorn searches each field twice, and each piece of a stream.

The end of an answer, and whatever has to wait, is uvicorn's. Fields come with names in lower case, and without Connection and
Transfer-Encoding, which are written here.
"""

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


class Response:
    """Writes the answer to the request of `cycle` as far as it can be written at once, and leaves everything else to that."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    def send(self, message: Any) -> Awaitable[None]:
        """Send `message`, as ASGI says; raises RuntimeError for a line break in a field."""
        cycle = self._cycle
        if cycle.disconnected or cycle.flow.write_paused:
            return cycle.send(message)
        if not cycle.response_started and message["type"] == "http.response.start":
            head = self._build(message["status"], [*cycle.default_headers, *message["headers"]])
            cycle.response_started = True
            cycle.waiting_for_100_continue = False
            cycle.transport.write(head)
            return _WRITTEN
        if cycle.chunked_encoding and not cycle.response_complete and message.get("more_body") and (body := message.get("body")):
            cycle.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
            return _WRITTEN
        return cycle.send(message)

    def _build(self, status: int, fields: list[tuple[bytes, bytes]]) -> bytes:
        """Return the head, once it is noted how the body will be framed: RFC 9112, section 6."""
        cycle = self._cycle
        length = dict(fields).get(b"content-length")
        if length is not None:
            cycle.expected_content_length = int(length)
            cycle.chunked_encoding = False
        elif cycle.scope["method"] != "HEAD" and status not in WITHOUT_BODY:
            cycle.chunked_encoding = True
            fields.append((b"transfer-encoding", b"chunked"))
        if not cycle.keep_alive:
            fields.append((b"connection", b"close"))
        return build_head(status, fields)


class _Written:
    """What there is to wait for after something has been written: nothing."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_WRITTEN = _Written()
