"""Clients of a chat service for the tests on a real cluster: who keeps asking, and who reads one long answer."""

import http.client
import threading
from contextlib import closing
from dataclasses import dataclass, field
from typing import Self

from scripts.chat import stream_answer
from scripts.commands import Failed

BEGUN_SECONDS = 30
QUESTION = b'{"message": "ping"}'


@dataclass
class Caller:
    """Asks until it is stopped, each time on a new connection unless it keeps them alive; remembers every status."""

    port: int
    pause_seconds: float = 0.0
    host: str = "127.0.0.1"
    keeps_alive: bool = False
    statuses: list[int | str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End with the question that is being asked."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with closing(http.client.HTTPConnection(self.host, self.port, timeout=30)) as connection:
            while not self._stop.wait(self.pause_seconds):
                self.statuses.append(_ask(connection))
                if not self.keeps_alive:
                    connection.close()  # the next request opens another one


def _ask(connection: http.client.HTTPConnection) -> int | str:
    """Return the status of an answer that was read to its end, or what went wrong."""
    try:
        connection.request("POST", "/api/chat", body=QUESTION, headers={"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return repr(error)
    return response.status


@dataclass
class Stream:
    """Reads one streamed answer, which has begun when the block begins and is read to its end when it ends."""

    port: int
    host: str = "127.0.0.1"
    pieces: int = 0
    failure: str = ""
    _begun: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._begun.wait(BEGUN_SECONDS), f"no answer has begun within {BEGUN_SECONDS} s"
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _run(self) -> None:
        try:
            for _ in stream_answer(self.host, self.port, "Hello, how are you?"):
                self.pieces += 1
                self._begun.set()
        except Failed as error:
            self.failure = str(error)
            self._begun.set()
