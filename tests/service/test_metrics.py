from tests.conftest import Simulator
from tests.service.conftest import Service, start_service


def metric(service: Service, sample: str) -> float:
    lines = service.request("GET", "/metrics", admin=True).body.decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == sample)


def test_requests_tokens_and_failures_are_counted(service: Service, simulator: Simulator) -> None:
    samples = [
        'chatbot_requests_total{route="chat",status="200"}',
        'chatbot_requests_total{route="chat",status="502"}',
        'chatbot_upstream_errors_total{status="502"}',
        'chatbot_request_duration_seconds_count{mode="stream",route="chat"}',
        "chatbot_time_to_first_token_seconds_count",
    ]
    before = [metric(service, sample) for sample in samples]

    service.chat()
    service.chat(stream=True)
    simulator.behave(error={"status": 500})
    service.chat()

    def grown() -> list[float]:
        return [metric(service, sample) - old for sample, old in zip(samples, before, strict=True)]

    service.wait_until(lambda: grown() == [2, 1, 1, 1, 1], seconds=5)
    assert metric(service, 'chatbot_tokens_total{direction="output"}') == service.report()["tokens"]["output"]


def test_metrics_are_prometheus_text_and_on_the_admin_port_alone(service: Service) -> None:
    reply = service.request("GET", "/metrics", admin=True)

    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"# TYPE chatbot_request_duration_seconds histogram" in reply.body
    assert b"chatbot_ready 1.0" in reply.body
    assert service.request("GET", "/metrics").status == service.request("GET", "/report").status == 404


def test_metrics_can_be_turned_off(simulator: Simulator) -> None:
    with start_service(simulator, wait_ready=False, METRICS_ENABLED="false") as service:
        assert service.request("GET", "/metrics", admin=True).status == 404
