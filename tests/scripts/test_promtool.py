"""`scripts/promtool.sh`: Debian's promtool out of its package into the cache, whole or not at all, and nothing where there is one."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.programs

SCRIPT = Path(__file__).parents[2] / "scripts/promtool.sh"
NEEDED = ("bash", "dpkg-deb", "mkdir", "mktemp", "mv", "rm", "tail", "tar")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder whose `bin` is all that is on PATH, and whose `cache` is empty."""
    (tmp_path / "bin").mkdir()
    for name in NEEDED:
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or name)
    return tmp_path


def program(machine: Path, name: str, script: str) -> None:
    file = machine / "bin" / name
    file.write_text(f"#!{machine}/bin/bash\n{script}\n")
    file.chmod(0o755)


def fetch(machine: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{machine}/bin", "XDG_CACHE_HOME": f"{machine}/cache"}
    return subprocess.run([f"{machine}/bin/bash", SCRIPT], env=environment, capture_output=True, text=True, timeout=60, check=False)


def cached(machine: Path) -> list[str]:
    return sorted(str(file.relative_to(machine / "cache")) for file in (machine / "cache").rglob("*") if file.is_file())


def package(machine: Path) -> Path:
    """Return a package that has a promtool among other files."""
    root = machine / "package"
    for file in ("usr/bin/promtool", "usr/bin/prometheus", "etc/default/prometheus"):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("#!/bin/sh\n")
        (root / file).chmod(0o755)
    (root / "DEBIAN").mkdir()
    control = {"Package": "prometheus", "Version": "2.42.0", "Architecture": "all", "Maintainer": "none", "Description": "none"}
    (root / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in control.items()))
    subprocess.run(["dpkg-deb", "--build", root, machine / "prometheus_2.42.0_all.deb"], check=True, capture_output=True)
    return machine / "prometheus_2.42.0_all.deb"


def test_it_is_the_one_file_of_the_package_and_fetched_once(machine: Path) -> None:
    (machine / "bin/cp").symlink_to(shutil.which("cp") or "cp")
    program(machine, "apt-get", f'echo "$@" >>{machine}/asked; cp {package(machine)} .')

    first, second = fetch(machine), fetch(machine)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert cached(machine) == ["chatbot-devcluster/promtool-debian/promtool"]
    assert os.access(machine / "cache" / cached(machine)[0], os.X_OK)
    assert (machine / "asked").read_text() == "download prometheus\n"


def test_old_lists_are_renewed(machine: Path) -> None:
    (machine / "bin/cp").symlink_to(shutil.which("cp") or "cp")
    program(machine, "apt-get", f'[ "$1" = update ] && >{machine}/new && exit; [ -e {machine}/new ] && cp {package(machine)} .')

    assert fetch(machine).returncode == 0
    assert cached(machine) == ["chatbot-devcluster/promtool-debian/promtool"]


def test_a_mirror_out_of_reach_is_a_failure_in_its_own_words_and_leaves_nothing(machine: Path) -> None:
    program(machine, "apt-get", "echo E: no route to the mirror >&2; exit 100")

    done = fetch(machine)

    assert done.returncode == 1
    assert "E: no route to the mirror" in done.stderr
    assert "promtool: apt-get could not fetch the package prometheus" in done.stderr
    assert cached(machine) == []


def test_one_that_is_there_is_taken(machine: Path) -> None:
    program(machine, "promtool", "exit 1")

    assert fetch(machine).returncode == 0
    assert not (machine / "cache").exists()


def test_where_there_is_no_debian_it_says_what_will_be_skipped(machine: Path) -> None:
    done = fetch(machine)

    assert done.returncode == 0
    assert "the unit tests of the alerts will be skipped" in done.stderr
