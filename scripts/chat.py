"""Asks a chat service one question and yields the answer as it streams in (the events of POST /api/chat)."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

from scripts.commands import Failed


def stream_answer(host: str, port: int, question: str, *, timeout_seconds: float = 60) -> Iterator[str]:
    """Yield the pieces of the answer's text; raises Failed when it is refused, cut or ends in an `error` event."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
    try:
        connection.request("POST", "/api/chat", body=json.dumps({"message": question, "stream": True}), headers=headers)
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise Failed(f"the chat service answered {response.status}: {response.read(2000).decode(errors='replace')}")
        yield from _deltas(response)
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"the chat service at {host}:{port} did not answer: {error}") from error
    finally:
        connection.close()


def _deltas(response: http.client.HTTPResponse) -> Iterator[str]:
    for event, data in _events(response):
        if event == "delta":
            yield data["text"]
        elif event == "error":
            raise Failed(f"the answer ended early: {data.get('detail') or data.get('code')}")
        elif event == "done":
            return
    raise Failed("the answer was cut off before its end")


def _events(response: http.client.HTTPResponse) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (event, data) as the HTML standard defines the event stream, for events of one data line."""
    event = ""
    while line := response.readline():
        field, _, value = line.decode().rstrip("\r\n").partition(": ")
        if field == "event":
            event = value
        elif field == "data":
            yield event, json.loads(value)
