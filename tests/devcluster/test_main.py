import os
import socket
from pathlib import Path

import pytest

from devcluster import binaries, cluster, target
from devcluster.__main__ import main
from devcluster.errors import PortTaken, PrivilegeMissing

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("verb", [["up"], ["down"], ["load", "image.tar"]])
def test_verb_that_changes_the_machine_asks_for_root_in_one_line(
    verb: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)  # a person's checkout may be closed to a real other user

    assert main(verb) == 1

    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "needs root" in said


def test_up_without_go_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    assert main(["up"]) == 1

    said = capsys.readouterr().err
    assert said.startswith("devcluster: the devcluster's programs are built from source, but there is no go on PATH")
    assert said.count("\n") == 1


def test_an_existing_cluster_that_does_not_answer_is_an_error_and_starts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig = tmp_path / "foreign"
    kubeconfig.write_text("current-context: kind-absent\n")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.delenv("CONTEXT", raising=False)
    monkeypatch.setattr(target, "binary", {"kubectl": "/bin/false"}.get)  # stands for a kubectl that nobody answers

    assert main(["ensure"]) == 1

    said = capsys.readouterr().err
    assert said.startswith(f"devcluster: the cluster of context kind-absent in {kubeconfig} does not answer")
    assert not (tmp_path / "state").exists()


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    assert main(["build", "pause"]) == 1

    said = capsys.readouterr().err
    assert said.startswith("devcluster: ")
    assert str(tmp_path / "file") in said
    assert said.count("\n") == 1


def test_build_takes_programs_beside_those_of_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(binaries, "build", asked.extend)

    assert main(["build", "--also", "gitleaks"]) == 0
    assert asked == [*binaries.ALWAYS, "gitleaks"]


def test_status_without_a_cluster_lists_every_part_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 1

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-2]] == list(cluster.COMPONENTS)
    assert all(line.endswith(("not running", "not ready")) for line in lines)


def test_kubeconfig_and_logs_say_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kubeconfig"]) == main(["logs"]) == 0

    kubeconfig, *logs = capsys.readouterr().out.splitlines()
    assert kubeconfig == str(tmp_path / "state/chatbot-devcluster/kubeconfig")
    assert any(line.split() == ["kubelet", str(tmp_path / "state/chatbot-devcluster/logs/kubelet.log")] for line in logs)


def test_log_of_what_never_ran_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "kubelet"]) == 1
    assert "kubelet has no log" in capsys.readouterr().err


def test_log_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "state/chatbot-devcluster/logs/etcd.log"
    log.parent.mkdir(parents=True)
    log.write_text("one\ntwo\n")

    assert main(["logs", "etcd"]) == 0
    assert capsys.readouterr().out == "one\ntwo\n"


def test_port_of_a_component_that_does_not_run_must_be_free(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        with pytest.raises(PortTaken, match=rf"^port {port} \(kubelet\) is taken by .* \(pid \d+\): stop it first$"):
            cluster.require_ports(tmp_path, {"kubelet": (port,)}, address="127.0.0.1")


def test_only_root_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(PrivilegeMissing):
        cluster.require_root()


def test_data_is_removed_but_for_the_lock(tmp_path: Path) -> None:
    (tmp_path / "etcd").mkdir()
    (tmp_path / "etcd/data").touch()
    (tmp_path / "lock").touch()
    (tmp_path / "link").symlink_to("etcd")

    cluster.remove_data(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
