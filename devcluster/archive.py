"""Image archives in Docker's format: writes the small ones (a static program on an empty file system), reads the identity of any.

Needs no builder, no daemon and no registry. The same input gives the same bytes, so an unchanged image is not loaded again.
"""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devcluster.errors import DevclusterError

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # the kernel's names → the image specification's


class ArchiveInvalid(DevclusterError):
    """A file is not a readable image archive in Docker's format."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image of an archive: its id (the digest of its configuration) and the names it is tagged with."""

    identity: str
    references: tuple[str, ...]


def write_archive(
    target: Path, *, reference: str, programs: Mapping[str, Path], entrypoint: Sequence[str], user: str = "65532:65532"
) -> Path:
    """Write an image of static programs (path in the image → file here) as an archive, and return `target`."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for path, program in sorted(programs.items()):
            _add(tar, path.lstrip("/"), program.read_bytes(), mode=0o755)
    configuration = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint), "User": user, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer.getvalue())]},
        "history": [{"created_by": "devcluster"}],
    }
    encoded = json.dumps(configuration, sort_keys=True).encode()
    name = f"{hashlib.sha256(encoded).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [reference], "Layers": ["layer.tar"]}]
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".unfinished")
    with tarfile.open(unfinished, mode="w") as tar:
        _add(tar, "layer.tar", layer.getvalue())
        _add(tar, name, encoded)
        _add(tar, "manifest.json", json.dumps(manifest).encode())
    return unfinished.replace(target)


def read_images(archive: Path) -> tuple[Image, ...]:
    """Return the images of an archive. Raises ArchiveInvalid."""
    try:
        with tarfile.open(archive) as tar:
            manifest: list[dict[str, Any]] = json.loads(_read(tar, "manifest.json"))
            found = tuple(
                Image(identity=_digest(_read(tar, entry["Config"])), references=tuple(entry["RepoTags"] or ())) for entry in manifest
            )
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        raise ArchiveInvalid(f"{archive} is not an image archive in Docker's format ({error}): build it with 'make images'") from error
    if not all(image.references for image in found):
        raise ArchiveInvalid(f"{archive} holds an image without a name, which no pod could ask for: tag it")
    return found


def _add(tar: tarfile.TarFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mode = mode
    tar.addfile(member, io.BytesIO(content))


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.extractfile(name)
    if member is None:
        raise KeyError(name)
    return member.read()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
