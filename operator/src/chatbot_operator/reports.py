"""One question to one pod: the only HTTP to chat pods, over connections that are kept between the rounds.

The pods are untrusted: an answer is bounded in size and time, nothing is followed, unpacked or kept but a report of that very pod.
A round asks thousands of pods the same question, so it is put by a protocol of its own that takes a third of a client library's CPU.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Final, cast

from chatbot_operator import errors, names
from chatbot_operator.pod_report import MAX_REPORT_BYTES, PodReport

REPORT_PORT = 9090
MAX_HEAD_BYTES = 4096

_OK: Final = re.compile(rb"HTTP/1\.1 200[ \r]")
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,6})[ \t]*\r\n", re.IGNORECASE)
_CLOSES: Final = re.compile(rb"\r\nconnection:[ \t]*close[ \t]*\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """A pod that should report."""

    uid: str
    address: str


def parse_report(body: bytes, pod: Target) -> PodReport:
    """Return the report that `pod` sent, or raise ReportInvalid."""
    report = PodReport.parse(body)
    if report.pod.uid != pod.uid:
        raise errors.ReportInvalid(f"the report is of another pod, {report.pod.uid}")
    return report


class _Connection(asyncio.Protocol):
    """One connection, with one question at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # which uvloop's is not by its class

    @property
    def is_open(self) -> bool:
        """Whether a question can be put."""
        return self.transport is not None and not self.transport.is_closing()

    def ask(self, question: bytes) -> asyncio.Future[bytes]:
        """Send `question`; the future is the answer's body, or fails with ReportInvalid."""
        self._answer = asyncio.get_running_loop().create_future()
        if self.transport is None or not self.is_open:
            self._fail("the connection was closed")
        else:
            self.transport.write(question)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._answer is None or self._answer.done():
            self.close()  # nothing was asked
            return
        try:
            body = _body_of(self._received)
        except errors.ReportInvalid as error:
            self._fail(str(error))
            return
        if body is not None:
            if _CLOSES.search(self._received):
                self.close()
            self._received = b""
            self._answer.set_result(body)

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self._fail(str(error or "the connection was closed"))

    def close(self) -> None:
        """Close the connection, whatever is on it."""
        if self.transport is not None:
            self.transport.abort()

    def _fail(self, why: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(errors.ReportInvalid(why))
        self.close()


def _body_of(received: bytes) -> bytes | None:
    """Return the body once it is complete, None before, or raise ReportInvalid for what is no plain answer of at most 4 KiB."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        if len(received) > MAX_HEAD_BYTES:
            raise errors.ReportInvalid(f"a head of more than {MAX_HEAD_BYTES} bytes")
        return None
    if not _OK.match(received):
        raise errors.ReportInvalid(f"not answered with 200: {received[:40]!r}")
    length = _LENGTH.search(received, 0, end + 2)
    if length is None or int(length[1]) > MAX_REPORT_BYTES:
        raise errors.ReportInvalid(f"a report has a length of at most {MAX_REPORT_BYTES} bytes")
    missing = end + 4 + int(length[1]) - len(received)
    if missing < 0:
        raise errors.ReportInvalid("more than was asked for")
    return None if missing else received[end + 4 :]


class Connections:
    """The connections to the pods, one each."""

    def __init__(self, *, port: int = REPORT_PORT, timeout_seconds: float) -> None:
        self._port = port
        self._timeout_seconds = timeout_seconds
        self._kept: dict[str, _Connection] = {}

    async def fetch(self, address: str) -> bytes:
        """Return the body of the pod's report; raise ReportInvalid, TimeoutError or OSError."""
        connection = self._kept.pop(address, None)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                if connection is None or not connection.is_open:
                    connection = await self._connect(address)
                body = await connection.ask(_question(address))
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        if connection.is_open:
            self._kept[address] = connection
        return body

    def keep_only(self, addresses: set[str]) -> None:
        """Close the connections to all other pods."""
        for address in self._kept.keys() - addresses:
            self._kept.pop(address).close()

    def close(self) -> None:
        """Close every connection."""
        self.keep_only(set())

    async def _connect(self, address: str) -> _Connection:
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, address, self._port)
        return connection


def _question(address: str) -> bytes:
    host = f"[{address}]" if ":" in address else address
    return f"GET /report HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nUser-Agent: {names.FIELD_MANAGER}\r\n\r\n".encode()
