"""HTTP/1.1 towards the clients: uvicorn's protocol, strict about heads and impatient with clients that neither send nor read.

Owns what a connection may cost before the application hears of a request and after it has answered one; a body is the
application's until it has answered. Nothing here is done once an event of a stream.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import httptools
import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from chatbot_service.deadline import Deadline
from chatbot_service.errors import HttpProblem
from chatbot_service.head import MAX_BYTES, check_head, too_large
from chatbot_service.lifeline import client_has_left
from chatbot_service.middleware import new_id
from chatbot_service.port import Port
from chatbot_service.reader import ReaderWatch
from chatbot_service.refusals import build_refusal, derive_problem
from chatbot_service.response import ResponseWriter

MAX_PIPELINED = 10
READ_AHEAD = 8
"""Requests that may wait for the one being served while its connection is read, without which its client could leave unnoticed."""
MAX_AHEAD_BYTES = 64 * 1024
"""Held of the bodies of those; one more read may come on top."""
MAX_UNREAD_BYTES = 1024 * 1024
"""Taken in of a request that has had its answer."""
WRITE_BUFFER_BYTES = 32 * 1024
"""What may wait here for the client to read before the application has to; one more write, and a ping, may come on top."""

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class _Outlet:
    """The transport as uvicorn's requests see it: writing is the transport's own, closing is the protocol's."""

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, transport: asyncio.Transport, *, close: Callable[[], None], is_closing: Callable[[], bool]) -> None:
        self.write = transport.write
        self.close = close
        self.is_closing = is_closing


class Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, config: uvicorn.Config, port: Port, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(config, port, app_state={}, _loop=loop)
        self._port = port
        self._patience = port.patience
        self._raw: asyncio.Transport
        self._outlet: _Outlet
        self._running: RequestResponseCycle | None = None
        self._in_head = False
        self._deaf = False  # whatever comes in is thrown away
        self._leaving = False  # the last answer is written
        self._refusal: HttpProblem | None = None  # answered after what came before
        self._unparsed_bytes = 0  # since the end of a head or a piece of a body
        self._unread_bytes = 0  # of a request that has had its answer
        self._sending_timer: asyncio.TimerHandle | None = None
        self._next_request = Deadline(self.timeout_keep_alive_handler)
        self._reader_watch: ReaderWatch | None = None

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Wait for the first head."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._raw = transport
        self._outlet = _Outlet(transport, close=self._close, is_closing=self._is_closing)
        self.transport = self._outlet  # type: ignore[assignment]  # it has all that is used
        self._expect_within(self._patience.head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being served, which for uvicorn is the one that came last."""
        self._leaving = True
        super().connection_lost(exc)
        if self._running is not None and not self._running.response_complete:
            _lose(self._running)
        self._next_request.end()
        if self._sending_timer is not None:
            self._sending_timer.cancel()
        if self._reader_watch is not None:
            self._reader_watch.end()
        # No cycle is left for the garbage collector.
        self._reader_watch = self._refusal = None
        self._outlet.close, self._outlet.is_closing = self._raw.close, self._raw.is_closing
        self._port.connection_left.set()

    def end_after_answer(self) -> None:
        """Make the answers that have not begun the last of this connection."""
        for cycle in (self._running, *(waiting for waiting, _ in self.pipeline)):
            if cycle is not None and not cycle.response_started:
                cycle.keep_alive = False

    def end_when_idle(self, grace_seconds: int) -> None:
        """Close the connection if it is between two requests, else once it has been for `grace_seconds`."""
        self.timeout_keep_alive = grace_seconds
        if self._running is None and not self._in_head:
            self._expect_next_within(grace_seconds)
        elif not self._busy and not self._in_head:
            self._close()

    def abort(self) -> None:
        """End it at once."""
        self._raw.abort()

    @property
    def _busy(self) -> bool:
        return self._running is not None and not self._running.response_complete

    def _is_closing(self) -> bool:
        return self._leaving or self._raw.is_closing()

    def _close(self) -> None:
        """Close it, but let the client read its answer first if it may still be sending: RFC 9112, section 9.6."""
        if self._is_closing():
            return
        self._leaving = self._deaf = True
        self._next_request.clear()
        if self._refusal or self._in_head or self.pipeline or (self._running is not None and self.cycle.more_body):
            self._raw.write_eof()
            self.flow.resume_reading()
            self._expect_within(self._patience.farewell)
        else:
            self._leave()

    def _leave(self) -> None:
        self._raw.close()
        if self._raw.get_write_buffer_size():
            self._watch_reader()

    # What comes in

    def data_received(self, data: bytes) -> None:
        """Parse what came in, or throw it away."""
        if self._deaf:
            self._unread_bytes += len(data)
            if self._unread_bytes > MAX_UNREAD_BYTES:
                self.flow.pause_reading()
            return
        if len(data) > MAX_BYTES:
            for begin in range(0, len(data), MAX_BYTES):
                self.data_received(data[begin : begin + MAX_BYTES])
            return
        self._unparsed_bytes += len(data)
        ignored = self._parse(data)
        if ignored is not None:
            self._parse_without_upgrade(data[ignored:])

    def _parse(self, data: bytes) -> int | None:
        """Parse `data`; return where a protocol begins to which the client asks to upgrade, if it does."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return int(upgrade.args[0])
        except httptools.HttpParserError as error:
            self._refuse(derive_problem(error))
            return None
        if self._unparsed_bytes > MAX_BYTES:
            self._refuse(too_large())
        elif self._in_head and self._sending_timer is None:
            self._expect_within(self._patience.head)
        return None

    def _parse_without_upgrade(self, rest: bytes) -> None:
        """Go on in HTTP/1.1, as RFC 9110, section 7.8 allows; with its Upgrade llhttp would not see the request's body."""
        version = self.parser.get_http_version().encode()
        fields = [b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        head = b"%b %b HTTP/%b\r\n%b\r\n" % (self.parser.get_method(), self.url, version, b"".join(fields))
        self.parser = httptools.HttpRequestParser(self)  # the old one is at its end if the connection is to be closed
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._unparsed_bytes = 0
        self.data_received(head + rest)

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._next_request.clear()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """Serve a request whose head is sound, in its turn."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise HttpProblem(405, "This is no proxy.")
            return  # it comes again without
        check_head(self.parser.get_http_version(), self.url, self.headers)
        if not self.url.startswith(b"/") and httptools.parse_url(self.url).path is None:
            raise HttpProblem(400, "The request's target has no path.")
        if len(self.pipeline) == MAX_PIPELINED:
            raise HttpProblem(429, "Too many requests wait for the one before them.")
        super().on_headers_complete()
        self.headers = []  # for trailers, which are no part of the request
        self._in_head = False
        self._unparsed_bytes = 0
        if self._sending_timer is not None:
            self._sending_timer.cancel()
            self._sending_timer = None
        if self.pipeline and self._may_read_ahead():
            self.flow.resume_reading()
        if self._port.ending or self.expect_100_continue:  # unless it is told to continue, it may leave out the body
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of the body; after the answer it is of no use."""
        self._unparsed_bytes = 0
        if not self.cycle.response_complete:
            super().on_body(body)
            if self.pipeline and not self._may_read_ahead():
                self.flow.pause_reading()
            return
        self._unread_bytes += len(body)
        if self._unread_bytes > MAX_UNREAD_BYTES:
            raise HttpProblem(413, "The rest of the body is too large.")

    def on_message_complete(self) -> None:
        """End the request."""
        if self._in_head:
            return  # it comes again without its upgrade
        self._unparsed_bytes = 0
        if self.cycle.response_complete:
            self.cycle.more_body = False
            self._unread_bytes = 0
            self._expect_next_within(self.timeout_keep_alive)
            return
        super().on_message_complete()
        if self.flow.read_paused and self.cycle is self._running:
            self.flow.resume_reading()  # its body is there, however large: what is left to hear is that the client leaves

    def _may_read_ahead(self) -> bool:
        """Whether there is room for more than the requests that wait already."""
        return len(self.pipeline) <= READ_AHEAD and sum(len(waiting.body) for waiting, _ in self.pipeline) <= MAX_AHEAD_BYTES

    # What goes out

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, lambda scope, receive, _send: app(scope, receive, ResponseWriter(cycle).send))

    def on_response_complete(self) -> None:
        """Go on with the next request, if one waits."""
        self.server_state.total_requests += 1
        if self._is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._refusal is not None:
            self._answer(self._refusal)
        elif not self._in_head:
            self._expect_next_within(self._patience.farewell if self.cycle.more_body else self.timeout_keep_alive)

    def _refuse(self, problem: HttpProblem) -> None:
        """Answer what cannot be served, in its turn, and close."""
        self._deaf = True
        if not self._in_head and self._running is not None and self.cycle.more_body:
            if self.cycle is self._running:
                self._break_off(problem)
                return
            self.pipeline.popleft()
        self._refusal = problem.with_traceback(None)  # while it waits for its turn it holds on to nothing that was read
        self._refusal.__context__ = None
        if not self._busy:
            self._answer(problem)

    def _break_off(self, problem: HttpProblem) -> None:
        """End the request that is being served: its body cannot be read to the end."""
        _lose(self.cycle)
        if self.cycle.response_started:
            self._close()
        else:
            self._answer(problem)

    def _answer(self, problem: HttpProblem) -> None:
        correlation_id = new_id()
        self._raw.write(build_refusal(problem, correlation_id, default_headers=self._port.default_headers))
        self._port.refusals[problem.status] += 1
        log.warning(
            "request refused", correlation_id=correlation_id, http_status=problem.status, client_ip=self._client_ip, reason=problem.detail
        )
        self._close()

    # Time

    def _expect_within(self, seconds: float) -> None:
        """Wait for the end of a head, or for the end of a client that has had its last answer."""
        if self._sending_timer is not None:
            self._sending_timer.cancel()
        self._sending_timer = self.loop.call_later(seconds, self._sends_too_slowly)

    def _sends_too_slowly(self) -> None:
        self._sending_timer = None
        if self._leaving:
            self._leave()
        elif self._busy:
            self._expect_within(self._patience.head)  # it has to wait for its turn anyway
        elif self._in_head:
            self._refuse(HttpProblem(408, "The request's head did not come in time."))
        else:
            self._leave()

    def _expect_next_within(self, seconds: float) -> None:
        self._next_request.set(self.loop.time() + seconds)

    def pause_writing(self) -> None:
        """Hold the application back; the client does not read as fast as it writes."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """Let the application go on."""
        super().resume_writing()
        if self._reader_watch is not None and not self._raw.is_closing():
            self._reader_watch.end()
            self._reader_watch = None

    def _watch_reader(self) -> None:
        if self._reader_watch is None:
            self._reader_watch = ReaderWatch(self._raw, self._patience.reading, stalled=self._cut_reader)

    def _cut_reader(self) -> None:
        log.info("connection cut, the client reads nothing", client_ip=self._client_ip)
        self._raw.abort()

    @property
    def _client_ip(self) -> str:
        return (self.client or ("", 0))[0].removeprefix("::ffff:")


def _lose(cycle: RequestResponseCycle) -> None:
    """Tell a request that nobody waits for its answer any more."""
    cycle.disconnected = True
    cycle.message_event.set()
    client_has_left(cycle.scope)
