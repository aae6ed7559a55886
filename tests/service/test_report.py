import pytest

from tests.conftest import Simulator
from tests.service.conftest import Service, start_service


def test_the_report_has_every_field_of_version_1(service: Service) -> None:
    service.chat()

    reply = service.request("GET", "/report", admin=True)

    report = reply.json
    assert list(report) == [
        "version", "pod", "state", "breaker", "lastErrorType", "credentials", "model", "clientTokens", "inFlight", "windows", "tokens",
    ]  # fmt: skip
    assert (report["version"], report["pod"], report["state"]) == (1, {"uid": "uid-1", "templateHash": "hash-1"}, "ready")
    assert report["breaker"] == {"claude-sonnet-5-5": {"state": "closed", "trips": 0}}
    assert report["credentials"]["state"] == "Accepted"
    assert report["credentials"]["fingerprintChangedAt"].endswith("Z")
    assert report["model"] == {
        "name": "claude-sonnet-5-5",
        "state": "Available",
        "lifecycle": "active",
        "retiresAt": None,
        "daysToRetirement": None,
    }
    assert report["windows"].keys() == {"5m", "1h"}
    assert len(reply.body) <= 4096


def test_the_report_counts_what_was_served(service: Service, simulator: Simulator) -> None:
    before = service.report()
    counted = before["windows"]["1h"]["requests"]

    tokens = service.chat().json["usage"]
    service.chat(stream=True)
    service.request("POST", "/api/chat", b"nonsense")
    simulator.behave(error={"status": 529})
    service.chat()
    simulator.behave(overload_at=6, pace="1ms")
    service.chat(stream=True)

    service.wait_until(lambda: service.report()["windows"]["1h"]["requests"] >= counted + 5)
    after = service.report()
    for name in ("5m", "1h"):
        old, new = before["windows"][name], after["windows"][name]
        assert (new["requests"] - old["requests"], new["errors"] - old["errors"]) == (5, 2)
        assert sum(new["latencyMs"]["counts"]) - sum(old["latencyMs"]["counts"]) == 2
        assert sum(new["firstTokenMs"]["counts"]) - sum(old["firstTokenMs"]["counts"]) == 2
        assert len(new["latencyMs"]["counts"]) == len(new["latencyMs"]["bounds"]) + 1
    assert after["lastErrorType"] == "overloaded_error"
    assert after["tokens"]["input"] - before["tokens"]["input"] == 2 * tokens["input_tokens"]
    assert after["tokens"]["output"] - before["tokens"]["output"] == 2 * tokens["output_tokens"]


def test_requests_in_flight_are_reported(service: Service, simulator: Simulator) -> None:
    simulator.behave(pace="10s", events=5)

    with service.open_chat(stream=True):
        service.wait_until(lambda: service.report()["inFlight"] == 1)

    service.wait_until(lambda: service.report()["inFlight"] == 0)


@pytest.mark.programs
def test_own_failures_alone_are_errors(simulator: Simulator) -> None:
    with start_service(
        simulator, MAX_IN_FLIGHT="1", QUEUE_SIZE="0", ANTHROPIC_MAX_RETRIES="1", BREAKER_FAILURE_THRESHOLD="1", REQUEST_TIMEOUT="1s",
        UPSTREAM_FIRST_BYTE_TIMEOUT="500ms", UPSTREAM_CONNECT_TIMEOUT="500ms",
    ) as service:  # fmt: skip

        def ask(*, stream: bool = False, **fault: object) -> int:
            simulator.behave(**fault)
            return service.chat(stream=stream).status

        statuses = [ask(), ask(error={"status": 400}), ask(error={"status": 429}, stream=True)]
        statuses += [service.request("POST", "/api/chat", body).status for body in (b"nonsense", {"message": 1})]
        simulator.behave(pace="10s", events=5)
        with service.open_chat(stream=True):
            service.wait_until(lambda: service.report()["inFlight"] == 1)
            busy = service.chat().status
        service.wait_until(lambda: service.report()["inFlight"] == 0)
        late = ask(first_token_delay="5s")
        rejected = ask()
        service.wait_until(lambda: service.report()["windows"]["5m"]["requests"] == 9)
        window = service.report()["windows"]["5m"]

    assert statuses == [200, 400, 429, 400, 422]
    assert (busy, late, rejected) == (503, 504, 503)
    assert window["errors"] == 3
    assert sum(window["latencyMs"]["counts"]) == 2
