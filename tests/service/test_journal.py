import asyncio
import os
from collections.abc import Iterator
from contextlib import closing

import pytest
from prometheus_client.parser import text_string_to_metric_families

from chatbot_service.exchange import Exchange
from chatbot_service.journal import MOST, Journal
from chatbot_service.output import Output
from tests.service.conftest import Service


class Book:
    """What was recorded, in order."""

    def __init__(self, output: Output) -> None:
        self.ids: list[str] = []
        self.begun = asyncio.Event()
        self._output = output

    def take(self, exchange: Exchange) -> None:
        self.ids.append(exchange.correlation_id)
        self._output.keep(exchange.correlation_id.encode())
        self.begun.set()


def exchange(number: int) -> Exchange:
    return Exchange(f"id-{number}", "127.0.0.1")


@pytest.fixture
def pipe() -> Iterator[tuple[int, Output]]:
    reader, writer = os.pipe2(os.O_DIRECT)  # each read takes what one write has put there
    with closing(os.fdopen(reader, "rb")), closing(os.fdopen(writer, "wb")):
        yield reader, Output(writer)


async def test_exchanges_are_recorded_together_soon_and_in_their_order(pipe: tuple[int, Output]) -> None:
    reader, output = pipe
    journal, book = Journal(output), Book(output)

    for number in range(3):
        journal.add(exchange(number), [book.take])
    assert book.ids == []
    await asyncio.wait_for(book.begun.wait(), timeout=30)

    assert book.ids == ["id-0", "id-1", "id-2"]
    assert os.read(reader, 1024) == b"id-0\nid-1\nid-2\n"


async def test_not_more_than_a_few_wait(pipe: tuple[int, Output]) -> None:
    journal, book = Journal(pipe[1]), Book(pipe[1])

    for number in range(MOST + 1):
        journal.add(exchange(number), [book.take])

    assert len(book.ids) == MOST + 1


async def test_a_record_that_fails_takes_no_other_exchange_with_it(pipe: tuple[int, Output]) -> None:
    journal, book = Journal(pipe[1]), Book(pipe[1])

    def fail(_exchange: Exchange) -> None:
        raise ValueError("broken")

    journal.add(exchange(0), [fail])
    journal.add(exchange(1), [book.take])
    with pytest.raises(ValueError, match="broken"):
        journal.settle()
    journal.settle()

    assert book.ids == ["id-1"]


def test_a_scrape_and_the_report_count_every_answer_before_them(service: Service) -> None:
    before = service.request("GET", "/report", admin=True).json["windows"]["5m"]["requests"]

    for number in range(1, 6):
        assert service.request("POST", "/api/chat", {"message": "x"}).status == 200

        assert service.request("GET", "/report", admin=True).json["windows"]["5m"]["requests"] == before + number
        assert answered(service.request("GET", "/metrics", admin=True).body.decode()) == before + number


def answered(scrape: str) -> float:
    """Return how many chats a scrape says were answered."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(scrape)
        for sample in family.samples
        if sample.name == "http_server_request_duration_seconds_count" and sample.labels["http_route"] == "/api/chat"
    )
