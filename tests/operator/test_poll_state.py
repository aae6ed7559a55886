from chatbot_operator.poll_state import PolledPods
from chatbot_operator.reports import Target


def test_pod_keeps_its_last_report_when_it_shows_another_address() -> None:
    pods = PolledPods("bot-uid")
    pods.take_targets([Target("pod-1", "fd00::1")])
    (last,) = pods.last_reports.values()

    pods.take_targets([Target("pod-1", "10.0.0.1"), Target("pod-2", "10.0.0.2")])

    assert pods.last_reports[Target("pod-1", "10.0.0.1")] is last
    assert len(pods.last_reports) == 2
