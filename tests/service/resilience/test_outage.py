"""The whole service while the model's API fails: what reaches the API, what clients get, and what the log says of it."""

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import durationpy
import pytest

from tests.conftest import Simulator
from tests.service.conftest import Reply, Service, start_service

pytestmark = pytest.mark.programs

SWIFT = {"ANTHROPIC_INITIAL_BACKOFF": "1ms", "ANTHROPIC_MAX_BACKOFF": "2ms", "RATE_LIMIT_ENABLED": "false"}
CALLERS = 20
SOAK = bool(os.environ.get("SOAK"))
"""On a machine of its own: the times that are promised are asked for to the full."""


def start_swift(simulator: Simulator, **variables: str) -> contextlib.AbstractContextManager[Service]:
    """Run a service that waits next to nothing between two attempts."""
    return start_service(simulator, wait_ready=True, **SWIFT | variables)


def attempts(simulator: Simulator) -> int:
    count: int = simulator.requests()["by_path"].get("/v1/messages", 0)
    return count


def code(reply: Reply) -> str:
    text: str = reply.json["code"]
    return text


def test_the_fifth_failed_attempt_opens_the_breaker_and_a_probe_closes_it(simulator: Simulator) -> None:
    with start_swift(simulator, BREAKER_RESET_TIMEOUT="1s") as service:
        simulator.behave(error={"status": 500})
        replies = [service.chat(stream=number % 2 == 1) for number in range(10)]

        assert [code(reply) for reply in replies[:2]] == ["upstream_error"] * 2
        assert {(reply.status, code(reply), reply.headers["retry-after"]) for reply in replies[2:]} <= {
            (503, "circuit_open", "1"),
            (503, "circuit_open", "2"),
        }
        assert attempts(simulator) == 5

        simulator.behave()
        service.wait_until(lambda: service.chat().status == 200)
        for phrase in ("circuit breaker opened", "circuit breaker half-open", "circuit breaker closed"):
            service.wait_for_log(phrase, model="claude-sonnet-5-5", trips=1)
        assert_said_once_each(service)


def assert_said_once_each(service: Service) -> None:
    """Two requests failed after three and two attempts; those that were rejected leave no trace but their own line."""
    messages = [line["message"] for line in service.log_lines()]
    assert messages.count("anthropic api call failed, retrying") == 3
    assert messages.count("anthropic api call failed") == 2
    assert [messages.count(f"circuit breaker {state}") for state in ("opened", "half-open", "closed")] == [1, 1, 1]
    failed = service.log("anthropic api call failed")
    assert [(line["level"], line["attempts"], line["breaker"]) for line in failed] == [("error", 3, "closed"), ("error", 2, "open")]
    assert all("UpstreamFailed" in line["stack_trace"] and line["correlation_id"] for line in failed)
    assert '"message":"anthropic api call failed, retrying"' in service.output()


def test_callers_at_half_open_reach_the_api_once(simulator: Simulator) -> None:
    times = {"REQUEST_TIMEOUT": "2s", "UPSTREAM_FIRST_BYTE_TIMEOUT": "1s", "UPSTREAM_CONNECT_TIMEOUT": "1s"}
    with start_swift(simulator, BREAKER_RESET_TIMEOUT="2s", BREAKER_FAILURE_THRESHOLD="1", **times) as service:
        simulator.behave(error={"status": 500})
        service.chat()
        simulator.behave(stall_at=0)
        simulator.forget()
        probed = threading.Event()

        def ask_until_one_has_probed(_number: int) -> set[str]:
            codes = set()
            while not probed.is_set():
                codes.add(code(service.chat()))
                if "upstream_timeout" in codes:
                    probed.set()
            return codes

        with ThreadPoolExecutor(CALLERS) as pool:
            codes = list(pool.map(ask_until_one_has_probed, range(CALLERS)))

        assert attempts(simulator) == 1
        assert set.union(*codes) <= {"circuit_open", "upstream_timeout"}
        assert ["upstream_timeout" in seen for seen in codes].count(True) == 1


def seconds_of_answers(service: Service, *, status: int, count: int) -> list[float]:
    """Return in order how long each of `count` answers with `status` took, as the service says."""

    def found() -> list[float]:
        lines = service.log("HTTP request completed")
        return [durationpy.from_str(line["duration"]).total_seconds() for line in lines if line["http_status"] == status]

    service.wait_until(lambda: len(found()) >= count)
    return sorted(found())


def test_a_rejection_takes_no_time(simulator: Simulator) -> None:
    with start_swift(simulator, BREAKER_FAILURE_THRESHOLD="1") as service:
        simulator.behave(error={"status": 500})
        for _ in range(201):
            service.chat()

        spent = seconds_of_answers(service, status=503, count=200)

        assert spent[len(spent) * (99 if SOAK else 50) // 100] <= 0.005


def test_no_answer_outlasts_its_deadline_whatever_is_tried(simulator: Simulator) -> None:
    times = {"REQUEST_TIMEOUT": "2s", "UPSTREAM_FIRST_BYTE_TIMEOUT": "800ms", "UPSTREAM_CONNECT_TIMEOUT": "800ms"}
    many = {"ANTHROPIC_MAX_RETRIES": "10", "RETRY_BUDGET_PERCENT": "100", "BREAKER_FAILURE_THRESHOLD": "1000000"}
    with start_swift(simulator, **times, **many) as service:
        simulator.behave(stall_at=0)

        with ThreadPoolExecutor(CALLERS) as pool:
            replies = list(pool.map(lambda number: service.chat(stream=number % 5 == 0), range(CALLERS)))

        assert {(reply.status, code(reply)) for reply in replies} == {(504, "upstream_timeout")}
        spent = seconds_of_answers(service, status=504, count=CALLERS)
        assert spent[-1] <= (2.1 if SOAK else 4)  # otherwise the streams would take six seconds, the JSON answers for ever


def test_without_a_breaker_the_budget_bounds_what_reaches_the_api(simulator: Simulator) -> None:
    with start_swift(simulator, BREAKER_FAILURE_THRESHOLD="1000000") as service:
        simulator.behave(error={"status": 529})

        for number in range(100):
            assert code(service.chat(stream=number % 2 == 1)) == "overloaded"

        assert 100 < attempts(simulator) <= 1.2 * 100 + 10


def test_a_request_that_a_kept_connection_swallowed_is_sent_again_within_the_budget(simulator: Simulator) -> None:
    with start_swift(simulator, BREAKER_FAILURE_THRESHOLD="1000000", RETRY_BUDGET_PERCENT="0") as service:
        assert service.chat().status == 200
        simulator.behave(cut_at=0)
        simulator.forget()

        for number in range(20):
            assert code(service.chat(stream=number % 2 == 1)) == "upstream_error"

        assert attempts(simulator) == 20 + 10


def test_a_fallback_model_answers_and_is_named(simulator: Simulator) -> None:
    with start_swift(simulator, CLAUDE_FALLBACK_MODELS="claude-haiku-5-5") as service:
        simulator.behave(error={"status": 529, "next": 3})
        whole = service.chat()
        simulator.behave(error={"status": 529, "next": 2})
        streamed = service.chat(stream=True)

        assert (whole.status, whole.json["model"]) == (200, "claude-haiku-5-5")
        assert streamed.events[0][1]["model"] == "claude-haiku-5-5"
        service.wait_for_log("fallback model answers", model="claude-haiku-5-5", correlation_id=whole.json["correlation_id"])


def test_nothing_is_tried_again_for_a_client_that_has_left(simulator: Simulator) -> None:
    with start_swift(simulator) as service:
        simulator.behave(error={"status": 503, "retry_after": "8", "next": 1})
        with contextlib.closing(service.open_chat()):
            service.wait_for_log("anthropic api call failed, retrying")

        service.wait_for_log("HTTP request completed", outcome="client_left")
        assert (attempts(simulator), service.report()["inFlight"]) == (1, 0)
