"""A model's API that says far too much, as fast as it is let: streams, single events and JSON answers without an end in sight."""

import contextlib
import socketserver
import threading
import time
from collections.abc import Iterator

import orjson

from anthropic_simulator.messages import MESSAGE_STOP, encode_event
from anthropic_simulator.models import find_model

MODEL = "claude-sonnet-5-5"
BLOCK_WORDS = 16 * 200
_MESSAGE: dict[str, object] = {
    "id": "msg_firehose",
    "type": "message",
    "role": "assistant",
    "model": MODEL,
    "content": [],
    "stop_reason": None,
}
_USAGE = {"input_tokens": 1, "output_tokens": 1}


def _event(name: str, **fields: object) -> bytes:
    return encode_event(name, orjson.dumps({"type": name, **fields}))


BEGIN = _event("message_start", message={**_MESSAGE, "usage": _USAGE}) + _event(
    "content_block_start", index=0, content_block={"type": "text", "text": ""}
)
BLOCK = _event("content_block_delta", index=0, delta={"type": "text_delta", "text": "word " * 200}) * 16
END = (
    _event("content_block_stop", index=0)
    + _event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage=_USAGE)
    + MESSAGE_STOP.data
)
ENDLESS_EVENT = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"'
ENDLESS_JSON = b'{"id":"msg_firehose","type":"message","role":"assistant","content":[{"type":"text","text":"'


class Firehose(socketserver.ThreadingTCPServer):
    """Answers every message with `begin`, then `blocks` times `block`, then `end`; `sent_blocks` counts what was taken from it."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self, blocks: int) -> None:
        super().__init__(("127.0.0.1", 0), _Spout)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.begin, self.block, self.end = BEGIN, BLOCK, END
        self.blocks = blocks
        self.sent_blocks = 0

    def wait_until_blocked(self) -> None:
        """Return when nobody has taken anything for a while."""
        sent = -1
        while sent != self.sent_blocks or not sent:
            sent = self.sent_blocks
            time.sleep(0.25)


class _Spout(socketserver.StreamRequestHandler):
    server: Firehose

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            while line := self.rfile.readline():
                self._read_request()
                if line.startswith(b"GET"):
                    self._send(b"application/json", orjson.dumps(find_model(MODEL).model_dump()))
                else:
                    self._spout()

    def _read_request(self) -> None:
        length = 0
        while (line := self.rfile.readline().lower()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name == b"content-length":
                length = int(value)
        self.rfile.read(length)

    def _spout(self) -> None:
        media_type = b"text/event-stream" if self.server.begin is not ENDLESS_JSON else b"application/json"
        self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n" % media_type)
        self._send_chunk(self.server.begin)
        for _ in range(self.server.blocks):
            self._send_chunk(self.server.block)
            self.server.sent_blocks += 1
        self._send_chunk(self.server.end)
        self.wfile.write(b"0\r\n\r\n")

    def _send_chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _send(self, media_type: bytes, body: bytes) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (media_type, len(body), body))


@contextlib.contextmanager
def start_firehose(*, blocks: int) -> Iterator[Firehose]:
    """Run one on a free port until the block ends."""
    with Firehose(blocks) as firehose:
        serving = threading.Thread(target=firehose.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield firehose
        finally:
            firehose.shutdown()
            serving.join()
