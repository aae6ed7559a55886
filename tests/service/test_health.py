import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import Simulator
from tests.service.conftest import Reply, Service, start_service

pytestmark = pytest.mark.programs

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
DURATION = re.compile(r"0s|(\d+h)?(\d+m)?\d+(\.\d+)?(s|ms|µs)")


@pytest.mark.parametrize("admin", [False, True], ids=["service port", "admin port"])
def test_health_has_every_field_of_the_contract(service: Service, *, admin: bool) -> None:
    service.chat()

    reply = service.request("GET", "/health", admin=admin)

    body = reply.json
    assert reply.status == 200
    assert list(body) == ["status", "timestamp", "uptime", "version", "liveness", "readiness"]
    assert (body["status"], body["liveness"]["status"], body["readiness"]["status"]) == ("healthy", "healthy", "ready")
    assert TIMESTAMP.fullmatch(body["timestamp"])
    assert DURATION.fullmatch(body["uptime"])
    assert re.fullmatch(r"v\d+\.\d+\.\d+", body["version"])
    for part, name in (("liveness", "process"), ("readiness", "anthropic_api")):
        [check] = body[part]["checks"]
        assert list(check) == ["name", "healthy", "latency"]
        assert (check["name"], check["healthy"]) == (name, True)
        assert DURATION.fullmatch(check["latency"])


@pytest.mark.parametrize(("path", "status", "check"), [("/health/live", "healthy", "process"), ("/health/ready", "ready", "anthropic_api")])
@pytest.mark.parametrize("admin", [False, True], ids=["service port", "admin port"])
def test_the_parts_answer_for_themselves(service: Service, path: str, status: str, check: str, *, admin: bool) -> None:
    body = service.request("GET", path, admin=admin).json

    assert list(body) == ["status", "timestamp", "checks"]
    assert body["status"] == status
    assert datetime.fromisoformat(body["timestamp"]).tzinfo == UTC
    assert [item["name"] for item in body["checks"]] == [check]


def test_probes_never_call_the_api(service: Service, simulator: Simulator) -> None:
    for path in ("/health", "/health/live", "/health/ready"):
        service.request("GET", path)

    assert simulator.requests()["total"] == 0


def test_a_key_that_is_missing_malformed_or_refused_is_unready_and_heals_by_itself(simulator: Simulator, tmp_path: Path) -> None:
    key = tmp_path / "key"

    with start_service(simulator, wait_ready=False, ANTHROPIC_API_KEY_FILE=str(key)) as service:
        service.wait_for_log("api key is missing")
        assert_unready(service, "there is no API key", credentials="Missing")
        refused = service.chat()
        assert (refused.status, refused.json["code"], refused.headers["retry-after"]) == (503, "not_ready", "1")

        key.write_text("two words")
        service.wait_for_log("api key is malformed")
        assert_unready(service, "the API key is malformed", credentials="Rejected")
        assert simulator.requests()["total"] == 0

        key.write_text("invalid-key")
        service.wait_for_log("api key checked", outcome="key_refused", error_type="authentication_error")
        assert_unready(service, "the API key is refused", credentials="Rejected")
        assert service.request("GET", "/health/live", admin=True).status == 200

        key.write_text("demo\n")
        service.wait_until(service.ready)
        assert service.report()["credentials"]["state"] == "Accepted"
        assert service.chat().status == 200


def test_a_key_of_bytes_that_are_no_text_is_malformed_like_any_other(simulator: Simulator) -> None:
    with start_service(simulator, wait_ready=False, ANTHROPIC_API_KEY=os.fsdecode(b"sk-\xff")) as service:
        service.wait_for_log("api key is malformed")

        assert_unready(service, "the API key is malformed", credentials="Rejected")


def test_a_retired_model_is_unready(simulator: Simulator) -> None:
    with start_service(simulator, wait_ready=False, CLAUDE_MODEL="claude-3-5-sonnet-20241022") as service:
        service.wait_for_log("api key checked", outcome="model_refused")

        assert_unready(service, "the model is retired", credentials="Accepted")
        assert (service.report()["model"]["state"], service.report()["model"]["lifecycle"]) == ("Retired", "retired")


def test_a_model_that_ends_soon_serves_and_is_told_of(simulator: Simulator) -> None:
    with start_service(simulator, CLAUDE_MODEL="claude-sonnet-4-5") as service:
        warning = service.wait_for_log("model is deprecated")
        model = service.report()["model"]
        status = service.request("GET", "/health").json["status"]
        metrics = service.request("GET", "/metrics", admin=True).body.decode()

    assert (warning["level"], warning["days_to_retirement"]) == ("warning", model["daysToRetirement"])
    assert (model["state"], model["lifecycle"]) == ("Available", "deprecated")
    assert datetime.fromisoformat(model["retiresAt"]) == datetime(2026, 11, 30, tzinfo=UTC)
    assert "chatbot_model_retirement_timestamp_seconds 1.7959968e+09\n" in metrics
    assert status == "healthy"


def test_an_outage_of_the_api_degrades_health_but_not_readiness(simulator: Simulator) -> None:
    with start_service(simulator, BREAKER_FAILURE_THRESHOLD="2", BREAKER_RESET_TIMEOUT="100ms", ANTHROPIC_MAX_RETRIES="1") as service:
        simulator.behave(error={"status": 529})
        service.chat()
        after_one_failure = service.request("GET", "/health").json["status"]
        service.chat()
        degraded = service.request("GET", "/health")
        ready = service.request("GET", "/health/ready", admin=True)
        report = service.report()
        simulator.behave()
        service.wait_until(lambda: service.chat().status == 200)
        recovered = service.request("GET", "/health")

    assert after_one_failure == "healthy"
    assert (degraded.status, degraded.json["status"], ready.status) == (200, "degraded", 200)
    assert degraded.json["readiness"]["checks"][0]["healthy"] is False
    assert (report["state"], report["breaker"]) == ("degraded", {"claude-sonnet-5-5": {"state": "open", "trips": 1}})
    assert (recovered.json["status"], recovered.json["readiness"]["checks"][0]["healthy"]) == ("healthy", True)


def test_a_key_that_cannot_be_judged_degrades_health_and_shows_how_long_it_was_tried() -> None:
    with start_service(wait_ready=False, ANTHROPIC_BASE_URL="http://127.0.0.1:9", ANTHROPIC_API_KEY="demo") as service:
        service.wait_for_log("api key checked", outcome="unjudgeable")
        service.wait_until(service.ready)
        health = service.request("GET", "/health")

    assert (health.status, health.json["status"]) == (200, "degraded")
    assert health.json["readiness"]["checks"][0]["latency"] != "0s"


def assert_unready(service: Service, reason: str, *, credentials: str) -> None:
    ready: Reply = service.request("GET", "/health/ready", admin=True)
    overall = service.request("GET", "/health")
    assert (ready.status, ready.json["status"], ready.json["checks"][0]["error"]) == (503, "not_ready", reason)
    assert (overall.status, overall.json["status"]) == (503, "unhealthy")
    assert (service.report()["state"], service.report()["credentials"]["state"]) == ("not_ready", credentials)
