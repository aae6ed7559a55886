import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from chatbot_service.exchange import Exchange
from chatbot_service.journal import MOST, Journal
from chatbot_service.output import Output
from tests.conftest import Simulator
from tests.service.conftest import Service, start_service


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


async def test_a_record_that_fails_is_told_and_strikes_nobody_else(pipe: tuple[int, Output]) -> None:
    journal, book = Journal(pipe[1]), Book(pipe[1])

    def fail(_exchange: Exchange) -> None:
        raise ValueError

    journal.add(exchange(0), [fail, book.take])
    journal.add(exchange(1), [book.take])
    with capture_logs() as logged:
        journal.settle()

    assert book.ids == ["id-0", "id-1"]
    assert [(line["event"], line["correlation_id"]) for line in logged] == [("request not recorded", "id-0")]


def test_a_scrape_and_the_report_count_every_answer_before_them(service: Service) -> None:
    counted, scraped = reported(service), answered(service)

    for number in range(1, 6):
        assert service.request("POST", "/api/chat", {"message": "x"}).status == 200

        assert (reported(service) - counted, answered(service) - scraped) == (number, number)


NEVER_SOON = """
from chatbot_service import journal
from chatbot_service.__main__ import main
journal.SOON_SECONDS = 3600
main()
"""


@pytest.mark.programs
def test_what_waits_is_recorded_before_the_process_says_that_it_has_stopped(simulator: Simulator) -> None:
    with start_service(simulator, command=[sys.executable, "-c", NEVER_SOON]) as service:
        assert service.chat(headers={"x-correlation-id": "waits"}).status == 200

        assert service.stop() == 0

    said = [line.get("correlation_id") or line["message"] for line in service.log_lines()]
    assert said[-2:] == ["waits", "stopped"]


def reported(service: Service) -> int:
    """Return how many chats the report says there were."""
    requests: int = service.request("GET", "/report", admin=True).json["windows"]["1h"]["requests"]
    return requests


def answered(service: Service) -> float:
    """Return how many chats a scrape says were answered."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(service.request("GET", "/metrics", admin=True).body.decode())
        for sample in family.samples
        if sample.name == "http_server_request_duration_seconds_count"
        and (sample.labels["http_request_method"], sample.labels["http_route"]) == ("POST", "/api/chat")
    )
