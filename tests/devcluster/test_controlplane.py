import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devcluster import processes
from devcluster.__main__ import main
from devcluster.controlplane import ControlPlane, KubectlFailed, control_plane
from devcluster.processes import wait_until

pytestmark = pytest.mark.api
ROOT = Path(__file__).parents[2]
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
OWNED = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: child
  ownerReferences: [{{apiVersion: v1, kind: ConfigMap, name: parent, uid: {uid}}}]
"""


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("plane")) as running:
        yield running


def pids_of(state: Path) -> dict[str, int | None]:
    return {name: processes.pid(state, name) for name in PROGRAMS}


def programs_using(state: Path) -> list[str]:
    """Command lines of the live processes that work in the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == state:
                found.append((process / "cmdline").read_text())
        except OSError:
            continue  # it ended just now
    return found


def requests(plane: ControlPlane) -> list[dict[str, Any]]:
    return [json.loads(line) for line in plane.audit_log.read_text().splitlines()]


def test_kubectl_reads_and_writes(plane: ControlPlane) -> None:
    plane.kubectl("create", "configmap", "written", "--from-literal=key=value")

    assert plane.kubectl("get", "configmap", "written", "--output=jsonpath={.data.key}") == "value"
    assert json.loads(plane.kubectl("version", "--output=json"))["serverVersion"]["gitVersion"] == "v1.36.3"


def test_kubectl_error_is_what_the_api_server_said(plane: ControlPlane) -> None:
    with pytest.raises(KubectlFailed, match='configmaps "absent" not found'):
        plane.kubectl("get", "configmap", "absent")


def test_owned_object_goes_with_its_owner(plane: ControlPlane) -> None:
    plane.kubectl("create", "configmap", "parent")
    uid = plane.kubectl("get", "configmap", "parent", "--output=jsonpath={.metadata.uid}")
    plane.kubectl("apply", "--filename=-", input=OWNED.format(uid=uid))

    plane.kubectl("delete", "configmap", "parent")

    plane.kubectl("wait", "configmap/child", "--for=delete", "--timeout=30s")


def test_namespace_goes_with_its_content(plane: ControlPlane) -> None:
    plane.kubectl("create", "namespace", "short-lived")
    plane.kubectl("create", "configmap", "content", "--namespace=short-lived")

    plane.kubectl("delete", "namespace", "short-lived", "--timeout=60s")

    assert "short-lived" not in plane.kubectl("get", "namespaces", "--output=name")


def test_deployment_gets_its_pods_though_no_node_runs_them(plane: ControlPlane) -> None:
    plane.kubectl("create", "deployment", "idle", "--image=none.invalid/none:1", "--replicas=2")

    wait_until(
        lambda: len(plane.kubectl("get", "pods", "--selector=app=idle", "--output=name").split()) == 2,
        what="the pods",
        timeout_seconds=30,
    )


def test_audit_log_says_who_did_what_to_what(plane: ControlPlane) -> None:
    plane.kubectl("create", "configmap", "audited")

    (created,) = [
        request for request in requests(plane) if request["verb"] == "create" and request.get("objectRef", {}).get("name") == "audited"
    ]
    assert created["user"]["username"] == "devcluster-admin"
    assert (created["objectRef"]["resource"], created["objectRef"]["namespace"]) == ("configmaps", "default")
    assert (created["stage"], created["responseStatus"]["code"]) == ("ResponseComplete", 201)
    assert "requestObject" not in created


def test_rbac_refuses_a_user_without_rights(plane: ControlPlane) -> None:
    kubeconfig = plane.write_kubeconfig(plane.state / "stranger.kubeconfig", user="stranger")

    with pytest.raises(KubectlFailed, match='User "stranger" cannot list resource "secrets"'):
        plane.kubectl(f"--kubeconfig={kubeconfig}", "get", "secrets")


def test_service_account_tokens_are_accepted(plane: ControlPlane) -> None:
    token = plane.kubectl("create", "token", "default").strip()

    who = json.loads(plane.kubectl("auth", "whoami", "--output=json", f"--token={token}", "--kubeconfig=/dev/null", *connection(plane)))

    assert who["status"]["userInfo"]["username"] == "system:serviceaccount:default:default"


def connection(plane: ControlPlane) -> list[str]:
    return [f"--server={plane.url}", f"--certificate-authority={plane.authority.certificate}"]


def test_start_of_a_running_plane_changes_nothing(plane: ControlPlane) -> None:
    before = pids_of(plane.state)

    assert not plane.start()
    assert pids_of(plane.state) == before


def test_an_existing_cluster_that_answers_is_ensured_without_starting_another(
    plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    monkeypatch.setenv("IMAGE_REGISTRY", "registry.example")
    monkeypatch.delenv("CONTEXT", raising=False)

    assert main(["ensure"]) == 0

    assert f"nothing is started: export KUBECONFIG={plane.kubeconfig}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("victim", PROGRAMS)
def test_killed_part_is_repaired_by_the_next_start_and_data_survives(plane: ControlPlane, victim: str) -> None:
    name = f"kept-through-{victim}"
    plane.kubectl("create", "configmap", name)
    before = pids_of(plane.state)
    os.kill(before[victim] or 0, signal.SIGKILL)
    wait_until(lambda: not processes.running(plane.state, victim), what="the kill", timeout_seconds=5)

    assert plane.start()

    assert plane.kubectl("get", "configmap", name, "--output=name") == f"configmap/{name}\n"
    assert all(pids_of(plane.state).values())
    assert pids_of(plane.state)[victim] != before[victim]


def test_planes_started_at_once_are_apart_and_leave_nothing(plane: ControlPlane, tmp_path: Path) -> None:
    seen: dict[str, str] = {}

    def run(folder: Path) -> None:
        with control_plane(folder) as started:
            started.kubectl("create", "configmap", f"in-{folder.name}")
            seen[started.url] = started.kubectl("get", "configmaps", "--output=name", "--field-selector=metadata.name!=kube-root-ca.crt")

    threads = [threading.Thread(target=run, args=(tmp_path / name,)) for name in ("one", "other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(seen.values()) == ["configmap/in-one\n", "configmap/in-other\n"]
    assert plane.url not in seen
    assert programs_using(tmp_path / "one") == programs_using(tmp_path / "other") == []
    assert plane.ready()


def test_plane_goes_with_a_killed_test_process_and_the_next_one_starts_empty(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from devcluster.controlplane import control_plane
with control_plane(Path({str(tmp_path)!r})) as plane:
    plane.kubectl("create", "configmap", "former")
    print("up", flush=True)
    input()
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "up\n"
        assert len(programs_using(tmp_path)) == len(PROGRAMS)

        caller.kill()

        wait_until(lambda: programs_using(tmp_path) == [], what="the keeper", timeout_seconds=10)

    with control_plane(tmp_path) as second:
        assert "former" not in second.kubectl("get", "configmaps", "--output=name")
