"""The three images as their archives hold them: unpacked, and run by runc as a pod runs them, without any capability.

The root is read-only, the user the image's own, the network the host's, so that a test can talk to what runs inside.
"""

import contextlib
import json
import shutil
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("general-purpose-chatbot", "chatbot-operator", "anthropic-simulator")
PYTHON = "/opt/chatbot/bin/python"


@dataclass(frozen=True)
class Image:
    """One image: its files below `rootfs`, its record of the build, and the configuration that a runtime goes by."""

    name: str
    tags: list[str]
    configuration: Mapping[str, Any]
    unpacked_bytes: int
    folder: Path

    @property
    def rootfs(self) -> Path:
        return self.folder / "rootfs"

    @property
    def entrypoint(self) -> list[str]:
        return list(self.configuration["Entrypoint"])

    @property
    def environment(self) -> dict[str, str]:
        return dict(entry.split("=", 1) for entry in self.configuration["Env"])

    def files(self) -> Iterator[Path]:
        return (path for path in self.rootfs.rglob("*") if path.is_file() and not path.is_symlink())

    def python(self, code: str, *, environment: Mapping[str, str] | None = None, mounts: Mapping[str, Path] | None = None) -> str:
        """Return what a Python program prints inside the image."""
        with self.running([PYTHON, "-c", code], environment=environment or {}, mounts=mounts or {}) as process:
            output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        return output.strip()

    @contextlib.contextmanager
    def running(
        self, argv: Sequence[str], *, environment: Mapping[str, str] | None = None, mounts: Mapping[str, Path] | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        """Run a command as the image's user until the block ends; a signal to the process reaches what runs inside."""
        identity = f"image-test-{uuid.uuid4().hex[:12]}"
        bundle = self.folder / identity
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(self._specification(argv, environment or {}, mounts or {})))
        runc = ["runc", "--root", str(self.folder / "state")]
        command = [*runc, "run", "--bundle", str(bundle), identity]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    subprocess.run([*runc, "delete", "--force", identity], check=False, capture_output=True)
                    process.communicate(timeout=30)

    def _specification(self, argv: Sequence[str], environment: Mapping[str, str], mounts: Mapping[str, Path]) -> dict[str, Any]:
        user, group = self.configuration["User"].split(":")
        return {
            "ociVersion": "1.0.2",
            "root": {"path": str(self.rootfs), "readonly": True},
            "process": {
                "args": list(argv),
                "cwd": "/",
                "env": [f"{name}={value}" for name, value in {**self.environment, **environment}.items()],
                "user": {"uid": int(user), "gid": int(group)},
                "noNewPrivileges": True,
            },
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                *(
                    {"destination": target, "type": "bind", "source": str(source), "options": ["rbind", "ro"]}
                    for target, source in mounts.items()
                ),
            ],
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]},
        }


@pytest.fixture(scope="session")
def built() -> None:
    """The archives are those of the tree as it is now."""
    build = subprocess.run([sys.executable, "scripts/images.py", "build"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stdout + build.stderr


@pytest.fixture(scope="session")
def unpacked(built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Image]]:
    """Every image; 300 MB of files that do not outlive the session."""
    found = {name: unpack(name, tmp_path_factory.mktemp(name)) for name in NAMES}
    yield found
    for image in found.values():
        shutil.rmtree(image.rootfs)


@pytest.fixture(params=NAMES)
def image(request: pytest.FixtureRequest, unpacked: dict[str, Image]) -> Image:
    return unpacked[request.param]


def unpack(name: str, folder: Path) -> Image:
    record = json.loads((ROOT / f".build/images/{name}.json").read_text())
    with tarfile.open(ROOT / f".build/images/{name}.tar") as archive:
        manifest = load(archive, "manifest.json")[0]
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(layer)) as files:
                files.extractall(folder / "rootfs", filter="fully_trusted")
        configuration = load(archive, manifest["Config"])["config"]
    return Image(name, manifest["RepoTags"], configuration, record["unpacked_bytes"], folder)


def load(archive: tarfile.TarFile, member: str) -> Any:
    file = archive.extractfile(member)
    assert file is not None
    return json.load(file)
