from pathlib import Path

import pytest

from tests.conftest import Simulator
from tests.service.conftest import start_service

pytestmark = pytest.mark.programs


def test_a_planted_key_and_prompt_show_up_nowhere(simulator: Simulator, tmp_path: Path) -> None:
    key, prompt, question = "canary-key-1", "canary-prompt-2", "canary-question-3"
    (tmp_path / "key").write_text(key)
    (tmp_path / "prompt").write_text(prompt)
    shown: list[bytes] = []

    with start_service(
        simulator, ANTHROPIC_API_KEY_FILE=str(tmp_path / "key"), SYSTEM_PROMPT_FILE=str(tmp_path / "prompt"), LOG_LEVEL="debug"
    ) as service:
        for fault in ({}, {"error": {"status": 400}}, {"error": {"status": 529}}, {"garbage": True}, {"cut_at": 6}, {"overload_at": 6}):
            simulator.behave(**fault)
            for stream in (False, True):
                reply = service.chat(question, stream=stream)
                if reply.status != 200:
                    shown.append(reply.body)
        shown.append(service.request("POST", "/api/chat", {"message": [question]}).body)
        shown.append(service.request("POST", "/api/chat", f'{{"message": "{question}'.encode()).body)
        (tmp_path / "key").write_text(f"invalid-{key}")
        service.wait_until(lambda: service.report()["credentials"]["state"] == "Rejected")
        shown += [service.request("GET", path, admin=True).body for path in ("/report", "/metrics", "/health")]
        service.stop()
        shown.append(service.output().encode())

    everything = b"\n".join(shown)
    assert b"HTTP request completed" in everything
    assert [canary for canary in (key, prompt, question) if canary.encode() in everything] == []
