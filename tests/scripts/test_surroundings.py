"""What a newcomer's machine may lack ends in one clear line and a non-zero exit."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


PACKAGES = (ROOT / "scripts" / "packages.sh").read_text()
"""For `bash -s`: another user may not be let into this checkout."""


def run(
    *argv: str, path: str | None = None, user: int | None = None, cwd: Path = ROOT, script: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command; `script` is its standard input."""
    environment = os.environ | ({"PATH": path} if path else {})
    return subprocess.run(argv, cwd=cwd, env=environment, user=user, input=script, capture_output=True, text=True, timeout=60, check=False)


def executable(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def test_setup_without_python_names_the_package() -> None:
    result = run("scripts/setup.sh", "python-that-is-not-there")

    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "apt-get install python3-venv" in result.stderr


def test_setup_refuses_an_old_python(tmp_path: Path) -> None:
    executable(tmp_path, "python3.9", 'case "$1" in --version) echo Python 3.9.2;; *) exit 1;; esac')

    result = run("scripts/setup.sh", str(tmp_path / "python3.9"))

    assert result.returncode == 1
    assert "Python 3.9.2 is too old: Python 3.11 or newer" in result.stderr


def test_setup_without_a_package_index_says_so(tmp_path: Path) -> None:
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name)
    executable(tmp_path, "python", f'[ "$1" = -m ] && {{ mkdir -p .venv/bin; cp {tmp_path}/no-index .venv/bin/python; }}; exit 0')
    executable(tmp_path, "no-index", "exit 1")

    result = run("scripts/setup.sh", str(tmp_path / "python"), cwd=tmp_path)

    assert result.returncode == 1
    assert "the Python package index must be reachable" in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages")
def test_setup_as_root_installs_the_venv_module_that_python_lacks(tmp_path: Path) -> None:
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name)
    executable(tmp_path, "python", f'case "$2" in *ensurepip*) test -e {tmp_path}/asked;; venv) exit 1;; esac')
    executable(tmp_path, "apt-get", f'echo "$@" >>{tmp_path}/asked')

    result = run("scripts/setup.sh", str(tmp_path / "python"), cwd=tmp_path, path=f"{tmp_path}:{os.environ['PATH']}")

    assert (tmp_path / "asked").read_text().splitlines()[-1].endswith(" python3-venv")
    assert "no venv module" in result.stderr  # this one has none in the end, and says so


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_missing_programs_without_root_are_one_line_to_run() -> None:
    bash = shutil.which("bash") or "bash"

    result = run(bash, "-s", "images", "devcluster", path="/nowhere", user=65534, script=PACKAGES)

    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "run: sudo apt-get install --no-install-recommends buildah" in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages")
def test_only_what_nobody_packaged_is_installed_and_nothing_makes_room_for_it(tmp_path: Path) -> None:
    for name in ("mktemp", "rm", "tail"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    for name in ("containerd", "runc"):  # as Docker's own package has them, which Debian's would replace
        executable(tmp_path, name, "exit 1")
    executable(tmp_path, "apt-get", f'echo "$@" >>{tmp_path}/asked')

    result = run(shutil.which("bash") or "bash", "scripts/packages.sh", "images", "devcluster", path=str(tmp_path))

    assert result.returncode == 0
    update, install = (tmp_path / "asked").read_text().splitlines()
    assert update == "update"
    assert install.startswith("install --yes --no-remove --no-install-recommends buildah")
    assert {"containerd", "runc"}.isdisjoint(install.split())


@pytest.mark.parametrize(
    ("kubeconfig", "code"), [("/somebody/kubeconfig", 0), ("/home/me/.local/state/chatbot-devcluster/kubeconfig", 1), ("", 1)]
)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_cluster_that_is_there_needs_no_node_programs(kubeconfig: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", kubeconfig)
    monkeypatch.delenv("CONTEXT", raising=False)

    result = run(shutil.which("bash") or "bash", "-s", "cluster", path="/nowhere", user=65534, script=PACKAGES)

    assert result.returncode == code


def test_a_failed_step_keeps_the_exit_status_and_says_how_long_it_took() -> None:
    result = run("scripts/step.sh", "a headline", "sh", "-c", "exit 7")

    assert result.returncode == 7
    assert "==> a headline: failed after" in result.stderr


def test_help_lists_every_verb() -> None:
    listed = {line.split()[1] for line in run("make", "help").stdout.splitlines()}

    build = {"setup", "images", "base-image", "generate", "fmt"}
    assert listed >= build | {"help", "check", "test", "demo", "demo-down", "cluster", "cluster-down", "bench", "soak"}
