"""One HTTP/1.1 answer, read from bytes as they come in. Pure: no connection, no clock; what is no answer raises UpstreamGarbage.

The grammar is llhttp's, by httptools. Bounded here is what llhttp takes without end: a head, trailers, chunk extensions and
interim answers may each take 64 KiB before something comes of them.
"""

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from chatbot_service.errors import UpstreamGarbage

MAX_BARREN_BYTES = 64 * 1024


class AnswerParser:
    """The answer to one request: `status` is 0 until its head is there, `headers` has lower-case names, `body` what was not taken yet."""

    __slots__ = ("_barren_bytes", "_framed", "_parser", "begun", "body", "complete", "headers", "reusable", "status")

    def __init__(self) -> None:
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._barren_bytes = 0
        self._framed = False
        self.begun = False
        self.body = bytearray()
        self.complete = False
        self.headers: dict[bytes, bytes] = {}
        self.reusable = False
        self.status = 0

    def feed(self, data: bytes | memoryview) -> None:
        """Take in a copy of what was read; sets `reusable` when the answer is complete and nothing but the next one may follow."""
        if self._parser is None:
            self.reusable = False
            return
        self.begun = True
        self._barren_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self.complete:
                raise UpstreamGarbage("The answer of the model's API is no HTTP.") from error
            self.reusable = False
        if self.complete:
            self.release()
        elif self._barren_bytes > MAX_BARREN_BYTES:
            raise UpstreamGarbage("The answer of the model's API has no end of its head.")

    def end(self) -> None:
        """Take in the end of the connection, which ends an answer that does not say how long it is."""
        self.complete = self.complete or (self.status > 0 and not self._framed)
        self.release()

    def take(self) -> bytes:
        """Return and forget what is held of the body."""
        body = bytes(self.body)
        self.body.clear()
        return body

    def release(self) -> None:
        """Let go of the parser, which holds on to this object."""
        self._parser = None

    def on_message_begin(self) -> None:
        """Stop at a second answer, which nobody asked for."""
        if self.complete:
            raise UpstreamGarbage("The model's API answers twice.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the head's fields; trailers say nothing that we need."""
        if not self.status:
            self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Take up the status; an interim answer's is forgotten with its head."""
        assert self._parser is not None  # noqa: S101  it is what calls
        status = self._parser.get_status_code()
        if status < 200:
            self.headers.clear()
            return
        self.status = status
        self._framed = b"content-length" in self.headers or b"transfer-encoding" in self.headers

    def on_body(self, chunk: bytes) -> None:
        """Keep a piece of the body."""
        self._barren_bytes = 0
        self.body += chunk

    def on_message_complete(self) -> None:
        """Note the end, unless it is an interim answer's."""
        assert self._parser is not None  # noqa: S101  it is what calls
        self.complete = self.status > 0
        self.reusable = self.complete and self._parser.should_keep_alive()
