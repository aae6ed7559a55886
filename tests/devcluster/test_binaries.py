import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from devcluster import binaries, versions
from devcluster.binaries import BINARIES, TOOLS, at_least, binary, build, explain_failure
from devcluster.errors import BinaryMissing
from devcluster.processes import wait_until

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parents[2]
BUILD_PAUSE = [sys.executable, "-m", "devcluster", "build", "pause"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    compiled = subprocess.run(["go", "env", "GOCACHE"], check=True, capture_output=True, text=True).stdout.strip()
    monkeypatch.setenv("GOCACHE", compiled)  # Go's own cache stays warm, only ours is empty
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "chatbot-devcluster"


def stand_in_for_go(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, version: str, toolchain: str = "local", build: str = "exit 1"
) -> None:
    folder.mkdir()
    (folder / "go").write_text(f'#!/bin/sh\n[ "$1" = env ] && printf "{version}\\n{toolchain}\\n" && exit\n{build}\n')
    (folder / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("module", "requirement"),
    [
        ("kubernetes", f"k8s.io/kubernetes v{versions.KUBERNETES}"),
        ("etcd", f"go.etcd.io/etcd/server/v3 v{versions.ETCD}"),
        ("extras", f"github.com/coredns/coredns v{versions.COREDNS}"),
        ("extras", f"helm.sh/helm/v4 v{versions.HELM}"),
        ("kwok", f"sigs.k8s.io/kwok v{versions.KWOK}"),
        ("kubeconform", f"github.com/yannh/kubeconform v{versions.KUBECONFORM}"),
        ("prometheus", f"github.com/prometheus/prometheus v{versions.PROMETHEUS}"),
        ("gitleaks", f"github.com/zricethezav/gitleaks/v8 v{versions.GITLEAKS}"),
    ],
)
def test_tools_module_requires_the_version(module: str, requirement: str) -> None:
    lines = (TOOLS / module / "go.mod").read_text().splitlines()

    assert requirement in [line.partition("//")[0].strip().removeprefix("require ") for line in lines]


def test_every_staging_module_is_of_the_same_release() -> None:
    replaced = re.findall(r"^\t(k8s\.io/\S+) => (\S+) (\S+)$", (TOOLS / "kubernetes" / "go.mod").read_text(), re.MULTILINE)

    assert len(replaced) == 33
    assert {(new == old, version) for old, new, version in replaced} == {(True, f"v0.{versions.KUBERNETES.partition('.')[2]}")}


def test_binary_is_built_once_for_its_version(cache: Path) -> None:
    built = binary("pause")
    before = built.stat()

    assert built == cache / f"pause-{versions.PAUSE}" / "pause"
    assert binary("pause").stat() == before
    assert os.access(built, os.X_OK)


@pytest.mark.parametrize("changed", ["go.sum", "pause/main.go", "flags"])
def test_binary_of_another_recipe_is_built_again(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], changed: str
) -> None:
    tools = shutil.copytree(TOOLS, tmp_path / "tools")
    monkeypatch.setattr(binaries, "TOOLS", tools)
    binary("pause")
    capsys.readouterr()
    if changed == "flags":
        stamped = replace(BINARIES["pause"], stamps=("main.stamped=1",))
        monkeypatch.setattr(binaries, "BINARIES", dict(BINARIES) | {"pause": stamped})
    else:
        with (tools / "extras" / changed).open("a") as file:
            file.write("\n")

    binary("pause")
    binary("pause")

    assert capsys.readouterr().err.count("building pause") == 1


def test_two_builders_build_once(cache: Path) -> None:
    builders = [subprocess.Popen(BUILD_PAUSE, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)]

    said = "".join(builder.communicate(timeout=300)[1] for builder in builders)

    assert [builder.returncode for builder in builders] == [0, 0]
    assert said.count("building pause") == 1


def test_killed_builder_leaves_no_broken_binary(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hang = f'for o in "$@"; do case "$o" in -o=*) echo half > "${{o#-o=}}";; esac; done; echo $$ > {tmp_path}/compiler; exec sleep 1000'
    with monkeypatch.context() as patched:
        stand_in_for_go(tmp_path / "bin", patched, version="go1.26.0", build=hang)
        builder = subprocess.Popen(BUILD_PAUSE, cwd=ROOT, stderr=subprocess.DEVNULL)
        wait_until((tmp_path / "compiler").exists, what="the compiler", timeout_seconds=10)
        builder.kill()
        builder.wait()
        os.kill(int((tmp_path / "compiler").read_text()), signal.SIGKILL)
    assert not BINARIES["pause"].path.exists()

    build(["pause"])

    assert BINARIES["pause"].path.stat().st_size > 100_000
    assert not list(BINARIES["pause"].path.parent.glob(".building-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_builder_takes_its_compiler_along(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    stand_in_for_go(tmp_path / "bin", monkeypatch, version="go1.26.0", build=f"echo $$ > {tmp_path}/compiler; exec sleep 1000")
    builder = subprocess.Popen(BUILD_PAUSE, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    wait_until(
        lambda: (tmp_path / "compiler").exists() and (tmp_path / "compiler").read_text() != "", what="the compiler", timeout_seconds=10
    )

    builder.send_signal(number)

    assert "devcluster: interrupted" in builder.communicate(timeout=10)[1]
    assert builder.returncode == 130
    assert not Path("/proc", (tmp_path / "compiler").read_text().strip()).exists()


def test_cached_binary_needs_no_go(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary("pause")
    monkeypatch.setenv("PATH", "/nowhere")

    assert binary("pause").exists()


def test_missing_go_is_one_line_with_the_remedy(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(
        BinaryMissing, match=r"^the devcluster's programs are built from source, but .* no go on PATH: install Go 1\.26 .*$"
    ):
        binary("pause")


@pytest.mark.parametrize(("version", "toolchain"), [("go1.19.8", "auto"), ("go1.20", ""), ("go1.24.1", "local"), ("", "auto")])
def test_old_go_that_fetches_no_newer_one_is_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, toolchain: str
) -> None:
    stand_in_for_go(tmp_path / "bin", monkeypatch, version=version, toolchain=toolchain)

    with pytest.raises(BinaryMissing, match=r"is too old for Kubernetes .*: install Go 1\.26 or newer"):
        binary("pause")


@pytest.mark.parametrize(("version", "toolchain"), [("go1.26.0", "local"), ("go1.27.1", "local"), ("go1.21.5", "auto"), ("go2.0", "local")])
def test_go_that_is_new_enough_or_fetches_one_is_used(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, toolchain: str
) -> None:
    stand_in_for_go(tmp_path / "bin", monkeypatch, version=version, toolchain=toolchain, build="echo it was asked >&2; exit 1")

    with pytest.raises(BinaryMissing, match=r"cannot build pause 1 .*: it was asked$"):
        binary("pause")


def test_unreachable_module_proxy_is_one_line_that_says_so(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modules"))
    monkeypatch.setenv("GOPROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("GOSUMDB", "off")

    with pytest.raises(
        BinaryMissing, match=r"^cannot build etcd .*: Go cannot fetch its modules, check the network and GOPROXY: .*refused$"
    ):
        binary("etcd")


def test_compile_error_shows_the_end_of_what_go_said() -> None:
    said = "go: downloading a v1\n# package\nmain.go:1: undefined: x\n"

    assert explain_failure("tool 1", said) == "cannot build tool 1: # package | main.go:1: undefined: x"
    assert explain_failure("tool 1", "") == "cannot build tool 1: the compiler was killed (out of memory?)"


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BinaryMissing, match="unknown program kubectx: one of kube-apiserver, "):
        build(["kubectx"])


@pytest.mark.parametrize(
    ("version", "wanted", "enough"),
    [
        ("go1.26.8", "1.26", True),
        ("go1.9.1", "1.26", False),
        ("go1.26rc1", "1.26", True),
        ("go2.0", "1.26", True),
        ("devel", "1.26", False),
    ],
)
def test_go_versions_compare_by_number(version: str, wanted: str, *, enough: bool) -> None:
    assert at_least(version, wanted) is enough


def test_kubernetes_programs_are_stamped_with_their_version() -> None:
    command = " ".join(BINARIES["kubelet"].command(Path("out")))

    assert f"-X k8s.io/component-base/version.gitVersion=v{versions.KUBERNETES}" in command
    assert all(name in BINARIES for name in binaries.CONTROL_PLANE)


def test_what_no_cluster_needs_is_built_by_name_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(binaries, "stale", asked.extend)

    build()

    assert asked == [name for name in BINARIES if name not in binaries.ON_DEMAND]
    assert set(binaries.ON_DEMAND) == {"promtool", "prometheus", "gitleaks"}


def test_prometheus_is_stamped_and_discovers_in_kubernetes_only() -> None:
    command = BINARIES["prometheus"].command(Path("out"))

    assert f"common/version.Version={versions.PROMETHEUS}" in " ".join(command)
    assert "-tags=remove_all_sd,enable_kubernetes_sd" in command
