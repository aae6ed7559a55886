"""What stands in the demo's way is said at once, in one line; nothing is started."""

import os
from pathlib import Path

import pytest
from rich.console import Console

from scripts import demo
from scripts.demo import main


@pytest.fixture(autouse=True)
def _no_cluster_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "CONTEXT", "IMAGE_REGISTRY"):
        monkeypatch.delenv(name, raising=False)


def test_without_root_it_says_so_before_anything_is_built(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)

    code = main(["up"])

    said = capsys.readouterr()
    assert code == 1
    assert "needs root" in said.err
    assert len(said.err.splitlines()) == 1
    assert "==>" not in said.out


def test_kubeconfig_without_a_context_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))

    assert main(["up"]) == 1
    assert "nothing" in capsys.readouterr().err


def test_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def write_to_a_full_disk(console: Console) -> None:
        Path("/dev/full").write_text("x")

    monkeypatch.setitem(demo.VERBS, "up", write_to_a_full_disk)

    assert main(["up"]) == 1
    assert capsys.readouterr().err == "demo: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("arguments", [[], ["sideways"], ["up", "down"]])
def test_wrong_verb_shows_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage" in capsys.readouterr().err
